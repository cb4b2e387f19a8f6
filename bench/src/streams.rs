//! Open streams under load: when the last byte of one comes after its session has ended, and whether those of
//! others go on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use session_gate_tests::poll::PATIENCE;
use session_gate_tests::streams::{Event, Kind, OpenStream};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::app::{Credential, Fate, How};
use crate::fleet::Fleet;
use crate::journal::{Journal, Moment};

/// The streams' path: a failure mode plays no part here.
const PATH: &str = "/strict/stream";
/// Streams of other sessions, one of each kind for each of so many ended ones.
const OTHERS_EVERY: usize = 4;
/// How often the upstream says something over every stream: the resolution of when a last byte came.
const SAID_EVERY: Duration = Duration::from_millis(10);
/// What the upstream says in the end, to see who still listens.
const LAST_WORD: &str = "still here";

/// What became of the streams.
#[derive(Debug, Default)]
pub struct Streams {
    /// From the reply of the call that ended its session until the last byte that the client got of each
    /// stream; zero where it came before the reply.
    pub last_bytes: Vec<(Kind, Duration)>,
    /// From the same reply until the client saw each stream's end, which over HTTP/1.1 comes after Envoy's
    /// `delayed_close_timeout`.
    pub ended: Vec<(Kind, Duration)>,
    /// Streams that were open still when the harness lost its patience.
    pub never_ended: usize,
    /// How many streams of other sessions there were.
    pub others: usize,
    /// How many of them ended, or were no longer heard.
    pub others_ended: usize,
}

/// How a stream went, as its client saw it.
struct Course {
    last_byte: Moment,
    end: Moment,
}

/// A stream whose session has ended.
struct Ending {
    kind: Kind,
    /// When the call that ended the session was answered.
    replied: Moment,
    course: JoinHandle<Course>,
}

/// Opens streams of all kinds, for one of `sessions` sessions after the other over both Envoys, while the
/// upstream talks without a pause, and ends the session.
///
/// # Errors
/// Where a stream does not begin, or the sidecar refuses.
pub async fn run(fleet: &Fleet, sessions: usize) -> Result<Streams> {
    let (mut streams, others) = tokio::select! {
        ended = end_sessions(fleet, sessions) => ended?,
        never = talk(fleet) => match never {},
    };
    fleet.stack.upstream.say(LAST_WORD);
    for other in others {
        streams.others_ended += usize::from(!within_patience(other).await?.unwrap_or(false));
    }
    Ok(streams)
}

/// What has ended, and the streams that should go on.
async fn end_sessions(fleet: &Fleet, sessions: usize) -> Result<(Streams, Vec<JoinHandle<bool>>)> {
    let mut others = Vec::new();
    let mut endings = Vec::new();
    for (n, how) in How::ALL.into_iter().cycle().take(sessions).enumerate() {
        if n % OTHERS_EVERY == 0 {
            let credential = fleet.app.login(&format!("listening-{n}"), Fate::Stays).await?;
            let streams = open(fleet, &credential, n).await?;
            others.extend(streams.into_iter().map(|(_, stream)| tokio::spawn(hears_last_word(stream))));
        }
        let credential = fleet.app.login(&format!("streaming-{n}"), Fate::Ends).await?;
        let mut followed = Vec::new();
        for (kind, stream) in open(fleet, &credential, n).await? {
            followed.push((kind, tokio::spawn(follow(stream, Arc::clone(&fleet.journal)))));
        }
        fleet.app.take_back(how, &credential, false).await?;
        let replied = fleet.journal.now();
        endings.extend(followed.into_iter().map(|(kind, course)| Ending { kind, replied, course }));
    }
    let mut streams = Streams { others: others.len(), ..Streams::default() };
    for Ending { kind, replied, course } in endings {
        match within_patience(course).await? {
            Some(Course { last_byte, end }) => {
                streams.last_bytes.push((kind, last_byte.saturating_sub(replied)));
                streams.ended.push((kind, end.saturating_sub(replied)));
            }
            None => streams.never_ended += 1,
        }
    }
    Ok((streams, others))
}

/// The upstream says something over every open stream, again and again.
async fn talk(fleet: &Fleet) -> Infallible {
    let mut ticks = interval(SAID_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        fleet.stack.upstream.say("and so on");
    }
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

/// When the client got the stream's last byte, and when it saw its end.
async fn follow(mut stream: OpenStream, journal: Arc<Journal>) -> Course {
    let mut last_byte = journal.now();
    while let Event::Message(_) = stream.next().await {
        last_byte = journal.now();
    }
    Course { last_byte, end: journal.now() }
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
async fn within_patience<T>(mut task: JoinHandle<T>) -> Result<Option<T>> {
    match timeout(PATIENCE, &mut task).await {
        Ok(answer) => Ok(Some(answer.context("a stream's task")?)),
        Err(_) => {
            task.abort();
            Ok(None)
        }
    }
}
