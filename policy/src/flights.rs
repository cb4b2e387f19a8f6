//! Questions to the sidecar about credentials: one for all requests that ask the same.

use std::{collections::HashMap, fmt, time::Duration};

use crate::{feed::Asked, worker::RequestId};

/// Numbers the questions under way.
pub type FlightId = u64;

/// The questions under way, and who waits for which.
#[derive(Default)]
pub struct Flights {
    by_question: HashMap<Vec<u8>, FlightId>,
    flights: HashMap<FlightId, Flight>,
    last: FlightId,
}

/// A question under way.
struct Flight {
    question: Vec<u8>,
    asked: Asked,
    waiting: Vec<RequestId>,
}

/// What became of a wish to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boarding {
    /// Somebody has asked already.
    Joined(FlightId),
    /// The question is to be sent.
    Started(FlightId),
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The questions have credentials in them.
        f.debug_struct("Flights").field("flights", &self.flights.len()).finish_non_exhaustive()
    }
}

impl Flights {
    /// Has a request wait for the answer to a question, in the form in which it is sent. One that was sent
    /// under another epoch of the feed is none that could be shared, nor one that is older than `timeout`.
    pub fn board(&mut self, request: RequestId, question: &[u8], asked: Asked, timeout: Duration) -> Boarding {
        let shared = self.by_question.get(question).and_then(|id| Some((*id, self.flights.get_mut(id)?)));
        let can_share =
            |flight: &Flight| flight.asked.epoch == asked.epoch && asked.at.saturating_sub(flight.asked.at) <= timeout;
        if let Some((id, flight)) = shared.filter(|(_, flight)| can_share(flight)) {
            flight.waiting.push(request);
            return Boarding::Joined(id);
        }
        self.last += 1;
        self.by_question.insert(question.to_vec(), self.last);
        self.flights.insert(self.last, Flight { question: question.to_vec(), asked, waiting: vec![request] });
        Boarding::Started(self.last)
    }

    /// The question has been answered, or has failed: when it was sent, and who waits.
    pub fn land(&mut self, id: FlightId) -> Option<(Asked, Vec<RequestId>)> {
        let flight = self.flights.remove(&id)?;
        if self.by_question.get(&flight.question) == Some(&id) {
            self.by_question.remove(&flight.question);
        }
        Some((flight.asked, flight.waiting))
    }

    /// The request waits no more. The question goes on: its answer will find nobody.
    pub fn leave(&mut self, id: FlightId, request: RequestId) {
        if let Some(flight) = self.flights.get_mut(&id) {
            flight.waiting.retain(|waiting| *waiting != request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(250);

    #[test]
    fn requests_that_ask_the_same_share_one_question() {
        let mut flights = Flights::default();
        let now = Asked::default();
        let other_epoch = Asked { epoch: Some("e2".to_owned()), ..Asked::default() };
        assert_eq!(flights.board(1, b"a", now.clone(), TIMEOUT), Boarding::Started(1));
        assert_eq!(flights.board(2, b"a", now.clone(), TIMEOUT), Boarding::Joined(1));
        assert_eq!(flights.board(3, b"b", now.clone(), TIMEOUT), Boarding::Started(2));
        assert_eq!(flights.board(4, b"a", other_epoch.clone(), TIMEOUT), Boarding::Started(3));
        assert_eq!(flights.board(5, b"a", other_epoch.clone(), TIMEOUT), Boarding::Joined(3));
        flights.leave(1, 1);
        assert_eq!(flights.land(1), Some((now, vec![2])));
        assert_eq!(flights.land(1), None);
        assert_eq!(flights.board(6, b"a", other_epoch.clone(), TIMEOUT), Boarding::Joined(3));
        assert_eq!(flights.land(3), Some((other_epoch, vec![4, 5, 6])));
        let later = Asked { at: Duration::from_millis(251), ..Asked::default() };
        assert_eq!(flights.board(7, b"b", later, TIMEOUT), Boarding::Started(4), "the other's time is over");
        assert_eq!(flights.by_question.len(), 1);
    }
}
