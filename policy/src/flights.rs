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
    /// In whose context it was sent: its answer is lost with that request.
    sent_for: Sender,
    waiting: Vec<RequestId>,
}

/// In whose context a question was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    /// A request's.
    Request(RequestId),
    /// That of a request that has gone: it must be sent again.
    Gone,
    /// The worker's own.
    Worker,
}

/// A question that has come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landed {
    /// When it was sent.
    pub asked: Asked,
    /// In whose context; none: the worker's own.
    pub sent_for: Option<RequestId>,
    /// Who waits.
    pub waiting: Vec<RequestId>,
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
    /// `sender`: in whose context it would be sent; none: the worker's own.
    pub fn board(
        &mut self,
        request: RequestId,
        sender: Option<RequestId>,
        question: &[u8],
        asked: Asked,
        timeout: Duration,
    ) -> Boarding {
        let shared = self.by_question.get(question).and_then(|id| Some((*id, self.flights.get_mut(id)?)));
        let can_share =
            |flight: &Flight| flight.asked.epoch == asked.epoch && asked.at.saturating_sub(flight.asked.at) <= timeout;
        if let Some((id, flight)) = shared.filter(|(_, flight)| can_share(flight)) {
            flight.waiting.push(request);
            return Boarding::Joined(id);
        }
        self.last += 1;
        self.by_question.insert(question.to_vec(), self.last);
        let sent_for = sender.map_or(Sender::Worker, Sender::Request);
        self.flights.insert(self.last, Flight { question: question.to_vec(), asked, sent_for, waiting: vec![request] });
        Boarding::Started(self.last)
    }

    /// The question has been answered, or has failed.
    pub fn land(&mut self, id: FlightId) -> Option<Landed> {
        let Flight { question, asked, sent_for, waiting } = self.flights.remove(&id)?;
        if self.by_question.get(&question) == Some(&id) {
            self.by_question.remove(&question);
        }
        let sent_for = match sent_for {
            Sender::Request(request) => Some(request),
            Sender::Gone | Sender::Worker => None,
        };
        Some(Landed { asked, sent_for, waiting })
    }

    /// The request is over: it waits no more. If a question was sent in its context, the others need it sent
    /// again.
    pub fn leave(&mut self, request: RequestId) {
        let mut over = Vec::new();
        for (id, flight) in &mut self.flights {
            flight.waiting.retain(|waiting| *waiting != request);
            if flight.sent_for == Sender::Request(request) {
                flight.sent_for = Sender::Gone;
                over.extend(flight.waiting.is_empty().then_some(*id));
            }
        }
        for id in over {
            self.land(id);
        }
    }

    /// Questions that the worker must send itself: whoever sent them has gone, and others wait.
    pub fn orphans(&mut self, asked: &Asked) -> Vec<(FlightId, Vec<u8>)> {
        let mut orphans = Vec::new();
        for (id, flight) in &mut self.flights {
            if flight.sent_for == Sender::Gone {
                flight.sent_for = Sender::Worker;
                flight.asked = asked.clone();
                orphans.push((*id, flight.question.clone()));
            }
        }
        orphans.sort_unstable();
        orphans
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
        assert_eq!(flights.board(1, Some(1), b"a", now.clone(), TIMEOUT), Boarding::Started(1));
        assert_eq!(flights.board(2, Some(2), b"a", now.clone(), TIMEOUT), Boarding::Joined(1));
        assert_eq!(flights.board(3, Some(3), b"b", now.clone(), TIMEOUT), Boarding::Started(2));
        assert_eq!(flights.board(4, Some(4), b"a", other_epoch.clone(), TIMEOUT), Boarding::Started(3));
        assert_eq!(flights.board(5, Some(5), b"a", other_epoch.clone(), TIMEOUT), Boarding::Joined(3));
        flights.leave(3);
        assert_eq!(flights.land(2), None, "nobody waits for it any more");
        assert!(flights.orphans(&now).is_empty());
        flights.leave(1);
        let again = Asked { at: Duration::from_millis(50), ..Asked::default() };
        assert_eq!(flights.orphans(&again), [(1, b"a".to_vec())], "its sender has gone, the second waits");
        assert!(flights.orphans(&again).is_empty(), "once is enough");
        assert_eq!(flights.land(1), Some(Landed { asked: again, sent_for: None, waiting: vec![2] }));
        assert_eq!(flights.land(1), None);
        assert_eq!(flights.board(6, Some(6), b"a", other_epoch.clone(), TIMEOUT), Boarding::Joined(3));
        let landed = Landed { asked: other_epoch, sent_for: Some(4), waiting: vec![4, 5, 6] };
        assert_eq!(flights.land(3), Some(landed));
        let later = Asked { at: Duration::from_millis(251), ..Asked::default() };
        assert_eq!(flights.board(7, Some(7), b"b", now.clone(), TIMEOUT), Boarding::Started(4));
        assert_eq!(flights.board(8, Some(8), b"b", later, TIMEOUT), Boarding::Started(5), "the other's time is over");
        assert_eq!(flights.by_question.len(), 1);
    }
}
