//! What it costs to end all sessions of an account that has very many, and whether others notice.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hyper::Method;
use redis::aio::MultiplexedConnection;
use serde::Serialize;
use serde_json::json;
use session_gate_tests::redis::{Fsync, Redis};
use session_gate_tests::sidecar::{Sidecar, counted_in};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::output::Figures;

/// Logins under way at a time.
const AT_ONCE: u64 = 64;
/// What a call may take.
const LONGEST_CALL_MS: f64 = 100.0;
/// What a command may take in Redis.
const LONGEST_COMMAND: Duration = Duration::from_millis(5);
/// Between two probes of others.
const PROBE_EVERY: Duration = Duration::from_millis(2);
/// The steps of the store that one call may take.
const STEPS: [&str; 3] = ["begin_cut_off", "append_feed", "finish_cut_off"];

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// Sessions of the account.
    pub sessions: u64,
    /// How often they are all ended.
    pub rounds: u64,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How much of everything there was.
    #[serde(flatten)]
    pub plan: Plan,
    /// What each call took, in milliseconds.
    pub calls_ms: Vec<f64>,
    /// Steps of the store that the calls took, all in all: three each.
    pub steps: u64,
    /// How often Redis counted a list and appended to the feed in that: once each for each call.
    pub redis_zcard: u64,
    /// The same.
    pub redis_xadd: u64,
    /// Commands that took Redis longer than 5 ms.
    pub slow_commands: Vec<SlowCommand>,
    /// Questions about others' tokens meanwhile, and how many of them were not answered `live`.
    pub probes: u64,
    /// The same.
    pub refused: u64,
}

/// A command that took Redis longer than it may.
#[derive(Clone, Debug, Serialize)]
pub struct SlowCommand {
    /// How long it took, in microseconds.
    pub micros: u64,
    /// The command and its arguments, as Redis' slow log shortens them.
    pub command: Vec<String>,
}

impl Figures for Report {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        let longest = self.calls_ms.iter().copied().fold(0.0, f64::max);
        if longest > LONGEST_CALL_MS {
            mistakes.push(format!("a call took {longest:.1} ms, more than {LONGEST_CALL_MS}"));
        }
        let Plan { sessions: _, rounds } = self.plan;
        if (self.steps, self.redis_zcard, self.redis_xadd) != (3 * rounds, rounds, rounds) {
            mistakes.push(format!(
                "{rounds} calls took {} steps, {} ZCARD and {} XADD",
                self.steps, self.redis_zcard, self.redis_xadd
            ));
        }
        if !self.slow_commands.is_empty() {
            mistakes.push(format!("{} commands took Redis longer than {LONGEST_COMMAND:?}", self.slow_commands.len()));
        }
        if self.probes == 0 || self.refused > 0 {
            mistakes.push(format!("of {} probes of others {} were refused", self.probes, self.refused));
        }
        mistakes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.calls_ms.iter().copied().fold(0.0, f64::max);
        writeln!(f, "{} sessions ended {} times: at most {longest:.1} ms", self.plan.sessions, self.plan.rounds)?;
        write!(f, "others: {} of {} refused; slow commands: {}", self.refused, self.probes, self.slow_commands.len())
    }
}

/// Ends all sessions of an account again and again, while others are asked about.
///
/// # Errors
/// Where a part does not run, or answers what it should not.
pub async fn run(plan: Plan) -> Result<Report> {
    let dir = tempfile::tempdir()?;
    let redis = Redis::start(dir.path(), Fsync::EverySecond).await?;
    let unbounded = ("SESSION_GATE_MAX_SESSIONS_PER_USER".to_owned(), "0".to_owned());
    let sidecar = Sidecar::start(vec![("REDIS_URL".to_owned(), redis.url()), unbounded], dir.path()).await?;
    let api = Api::connect(sidecar.address()).await?;
    let mut server = Server::connect(&redis.url()).await?;
    let probes = Probes::start(sidecar.address()).await?;
    let mut report = Report {
        plan,
        calls_ms: Vec::new(),
        steps: 0,
        redis_zcard: 0,
        redis_xadd: 0,
        slow_commands: Vec::new(),
        probes: 0,
        refused: 0,
    };
    for _ in 0..plan.rounds {
        log_in(sidecar.address(), plan.sessions).await?;
        server.log_slower_than(LONGEST_COMMAND).await?;
        let (steps, zcard, xadd) = (steps(&api).await?, server.calls("zcard").await?, server.calls("xadd").await?);
        let start = Instant::now();
        let (status, body) = api.send(Method::DELETE, "/v1/users/busy/sessions", None).await?;
        report.calls_ms.push(start.elapsed().as_secs_f64() * 1_000.0);
        ensure!(
            status == 200 && body.get("terminated") == Some(&plan.sessions.into()),
            "the call was answered {status}: {body}"
        );
        report.steps += self::steps(&api).await? - steps;
        report.redis_zcard += server.calls("zcard").await? - zcard;
        report.redis_xadd += server.calls("xadd").await? - xadd;
        wait_until_swept(&api).await?;
        report.slow_commands.extend(server.slow().await?);
    }
    (report.probes, report.refused) = probes.stop().await?;
    Ok(report)
}

async fn log_in(address: SocketAddr, sessions: u64) -> Result<()> {
    let mut logins = JoinSet::new();
    for part in 0..AT_ONCE {
        let api = Api::connect(address).await?;
        let count = sessions / AT_ONCE + u64::from(part < sessions % AT_ONCE);
        logins.spawn(async move {
            for _ in 0..count {
                let (status, body) = api.send(Method::POST, "/v1/sessions", Some(json!({"user_id": "busy"}))).await?;
                ensure!(status == 201, "a login was answered {status}: {body}");
            }
            Ok(())
        });
    }
    while let Some(login) = logins.join_next().await {
        login??;
    }
    Ok(())
}

/// How many of those steps of the store there were.
async fn steps(api: &Api) -> Result<u64> {
    let metrics = api.text("/metrics").await?;
    let count = |step: &str| counted_in(&metrics, "session_gate_store_requests_total", &format!("op=\"{step}\""));
    STEPS.into_iter().map(count).sum()
}

/// Waits until what has ended is off the account's list, so that each round begins alike.
async fn wait_until_swept(api: &Api) -> Result<()> {
    let swept = async || {
        let metrics = api.text("/metrics").await?;
        counted_in(&metrics, "session_gate_sessions_swept_total", "")
    };
    let mut before = swept().await?;
    loop {
        sleep(Duration::from_secs(1)).await;
        let (_, listed) = api.send(Method::GET, "/v1/users/busy/sessions?limit=1", None).await?;
        let now = swept().await?;
        if now == before && listed.get("next").is_none() {
            return Ok(());
        }
        before = now;
    }
}

/// Asks about somebody else's token, again and again.
struct Probes {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Result<u64>>,
}

impl Probes {
    async fn start(address: SocketAddr) -> Result<Self> {
        let api = Api::connect(address).await?;
        let (_, session) = api.send(Method::POST, "/v1/sessions", Some(json!({"user_id": "other"}))).await?;
        let id = session.get("session_id").cloned().unwrap_or_default();
        let credential = json!({"kind": "own", "user_id": "other", "session_id": id, "token_id": "t"});
        let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&refused));
        let task = tokio::spawn(async move {
            let mut probes = 0;
            while !stopped.load(Ordering::Relaxed) {
                let question = json!({ "credential": credential });
                let (status, body) = api.send(Method::POST, "/v1/check", Some(question)).await?;
                probes += 1;
                if status != 200 || body.get("verdict") != Some(&"live".into()) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                sleep(PROBE_EVERY).await;
            }
            Ok(probes)
        });
        Ok(Self { stop, refused, task })
    }

    async fn stop(self) -> Result<(u64, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        Ok((self.task.await??, self.refused.load(Ordering::Relaxed)))
    }
}

/// A connection to Redis, for what the sidecar does not ask.
struct Server(MultiplexedConnection);

impl Server {
    async fn connect(url: &str) -> Result<Self> {
        Ok(Self(redis::Client::open(url)?.get_multiplexed_async_connection().await?))
    }

    /// Logs commands that take longer than that as slow from now on, and forgets those of before.
    async fn log_slower_than(&mut self, longest: Duration) -> Result<()> {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("slowlog-log-slower-than").arg(u64::try_from(longest.as_micros())?);
        set.exec_async(&mut self.0).await?;
        Ok(redis::cmd("SLOWLOG").arg("RESET").exec_async(&mut self.0).await?)
    }

    /// The commands that were slow.
    async fn slow(&mut self) -> Result<Vec<SlowCommand>> {
        let log: Vec<Vec<redis::Value>> = redis::cmd("SLOWLOG").arg("GET").arg(-1).query_async(&mut self.0).await?;
        let slow = |entry: Vec<redis::Value>| {
            // Its number, when it was, how long it took, and the command come first.
            let mut entry = entry.into_iter().skip(2);
            let (micros, command) = entry.next().zip(entry.next()).context("a slow command")?;
            Ok(SlowCommand { micros: redis::from_redis_value(micros)?, command: redis::from_redis_value(command)? })
        };
        log.into_iter().map(slow).collect()
    }

    /// How often that command was called.
    async fn calls(&mut self, command: &str) -> Result<u64> {
        let info: redis::InfoDict = redis::cmd("INFO").arg("commandstats").query_async(&mut self.0).await?;
        let Some(stats) = info.get::<String>(&format!("cmdstat_{command}")) else { return Ok(0) };
        let calls = stats.split(',').find_map(|stat| stat.strip_prefix("calls="));
        calls.context("a number of calls")?.parse().context("a number of calls")
    }
}
