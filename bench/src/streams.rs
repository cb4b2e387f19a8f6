//! Open streams under load: how long they outlive their session, and whether those of others go on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use session_gate_tests::poll::PATIENCE;
use session_gate_tests::streams::{Event, Kind, OpenStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{Credential, Fate, How};
use crate::fleet::Fleet;
use crate::journal::{Journal, Moment};

/// The streams' path: a failure mode plays no part here.
const PATH: &str = "/strict/stream";
/// Streams of other sessions, one of each kind for each of so many ended ones.
const OTHERS_EVERY: usize = 2;
/// What the upstream says in the end, to see who still listens.
const LAST_WORD: &str = "still here";

/// What became of the streams.
#[derive(Debug, Default)]
pub struct Streams {
    /// From the reply of the call that ended its session until the client saw each stream's end.
    pub ended: Vec<(Kind, Duration)>,
    /// Streams that were open still when the harness lost its patience.
    pub never_ended: usize,
    /// How many streams of other sessions there were.
    pub others: usize,
    /// How many of them ended, or were no longer heard.
    pub others_ended: usize,
}

/// Opens streams of all kinds, for `sessions` sessions over both Envoys, and ends the sessions one by one.
///
/// # Errors
/// Where a stream does not begin, or the sidecar refuses.
pub async fn run(fleet: &Fleet, sessions: usize) -> Result<Streams> {
    let mut others = Vec::new();
    let mut ending = Vec::new();
    for n in 0..sessions {
        let credential = fleet.app.login(&format!("streaming-{n}"), Fate::Ends).await?;
        let mut streams = Vec::new();
        for (kind, stream) in open(fleet, &credential, n).await? {
            streams.push((kind, tokio::spawn(end(stream, Arc::clone(&fleet.journal)))));
        }
        ending.push((credential, streams));
        if n % OTHERS_EVERY == 0 {
            let credential = fleet.app.login(&format!("listening-{n}"), Fate::Stays).await?;
            let streams = open(fleet, &credential, n).await?;
            others.extend(streams.into_iter().map(|(_, stream)| tokio::spawn(hears_last_word(stream))));
        }
    }
    let mut outcome = Streams { others: others.len(), ..Streams::default() };
    for (how, (credential, streams)) in How::ALL.into_iter().cycle().zip(ending) {
        fleet.app.take_back(how, &credential, false).await?;
        let replied = fleet.journal.now();
        for (kind, end) in streams {
            match ended(end).await? {
                Some(at) => outcome.ended.push((kind, at.saturating_sub(replied))),
                None => outcome.never_ended += 1,
            }
        }
    }
    fleet.stack.upstream.say(LAST_WORD);
    for other in others {
        outcome.others_ended += usize::from(!ended(other).await?.unwrap_or(false));
    }
    Ok(outcome)
}

/// A stream of each kind, over one Envoy and the other in turn.
async fn open(fleet: &Fleet, credential: &Credential, n: usize) -> Result<Vec<(Kind, OpenStream)>> {
    let mut streams = Vec::new();
    // Each kind over the other Envoy with every session.
    let envoys = fleet.envoys().into_iter().cycle().skip(n % 2);
    for (kind, envoy) in Kind::ALL.into_iter().zip(envoys) {
        streams.push((kind, OpenStream::open(kind, envoy.address(), PATH, &credential.token).await?));
    }
    Ok(streams)
}

/// When the client sees the stream's end.
async fn end(mut stream: OpenStream, journal: Arc<Journal>) -> Moment {
    while let Event::Message(_) = stream.next().await {}
    journal.now()
}

/// Whether the stream goes on until that.
async fn hears_last_word(mut stream: OpenStream) -> bool {
    while let Event::Message(message) = stream.next().await {
        if message == LAST_WORD {
            return true;
        }
    }
    false
}

/// What a stream's task answers; `None` where it does not in time.
async fn ended<T>(mut task: JoinHandle<T>) -> Result<Option<T>> {
    match timeout(PATIENCE, &mut task).await {
        Ok(answer) => Ok(Some(answer.context("a stream's task")?)),
        Err(_) => {
            task.abort();
            Ok(None)
        }
    }
}
