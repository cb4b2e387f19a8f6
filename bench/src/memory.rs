//! How large a worker's VM grows: with a million revocations, with the tokens of a hundred thousand
//! users, and under a flood of forged ones.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::header::AUTHORIZATION;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use serde_json::{Value, json};
use session_gate_tests::envoy::{Config, Envoy};
use session_gate_tests::poll::until;
use session_gate_tests::sidecar::FakeSidecar;
use session_gate_tests::tools;
use session_gate_tests::upstream::Upstream;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::crowd::Crowd;
use crate::output::Figures;

/// Requests under way at a time.
const AT_ONCE: usize = 64;
/// What a worker may take up with all of it.
const LIMIT: u64 = 64 << 20;
/// VMs that follow the feed: that of the one worker, and that of the main thread.
const VMS: usize = 2;

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// Sessions that have ended.
    pub revocations: u64,
    /// Good tokens, each of another user.
    pub tokens: u64,
    /// Forged tokens.
    pub forged: u64,
}

/// The figures. All in bytes of linear memory of the largest VM, as the filter counts its pages.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// With nothing to remember.
    pub empty_bytes: u64,
    /// With the revocations.
    pub revocations_1m_bytes: u64,
    /// And with the tokens.
    pub with_tokens_100k_bytes: u64,
    /// By how much the flood of forged tokens has made it grow.
    pub forged_1m_growth_bytes: u64,
    /// How much of everything there was.
    #[serde(flatten)]
    pub plan: Plan,
    /// What forged tokens were answered, by status.
    pub forged_answers: BTreeMap<u16, u64>,
    /// Verified tokens that a worker remembers: the filter's default bound on their number, and on the
    /// bytes of their texts.
    pub cache: Value,
    /// Envoy's version.
    pub envoy: String,
}

impl Figures for Report {
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.with_tokens_100k_bytes > LIMIT {
            mistakes.push(format!("the VM has grown to {} bytes, more than {LIMIT}", self.with_tokens_100k_bytes));
        }
        if self.forged_1m_growth_bytes > 0 {
            mistakes.push(format!("forged tokens have made the VM grow by {} bytes", self.forged_1m_growth_bytes));
        }
        if self.forged_answers.keys().any(|status| ![401, 503].contains(status)) {
            mistakes.push(format!("forged tokens were answered {:?}", self.forged_answers));
        }
        mistakes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        writeln!(f, "memory of a worker's VM (Envoy {})", self.envoy)?;
        writeln!(f, "  with nothing to remember       {}", mib(self.empty_bytes))?;
        writeln!(f, "  with {:>8} revocations      {}", self.plan.revocations, mib(self.revocations_1m_bytes))?;
        writeln!(f, "  and {:>9} tokens           {}", self.plan.tokens, mib(self.with_tokens_100k_bytes))?;
        write!(f, "  after {:>7} forged tokens    +{}", self.plan.forged, mib(self.forged_1m_growth_bytes))
    }
}

/// Measures.
///
/// # Errors
/// Where a part does not start, or a request is answered as it should not be.
pub async fn run(plan: Plan) -> Result<Report> {
    let dir = tempfile::tempdir()?;
    let upstream = Upstream::start_observed(|_| {}).await?;
    let empty = {
        let nobody = Crowd::new(0)?;
        let gate = Gate::start(&nobody, &upstream, dir.path()).await?;
        gate.memory().await?
    };
    let crowd = Crowd::new(plan.revocations)?;
    let mut gate = Gate::start(&crowd, &upstream, dir.path()).await?;
    let revocations = gate.memory().await?;
    let last = crowd.ended_token(plan.revocations.saturating_sub(1))?;
    ensure!(gate.status(&last).await? == 401, "the last revocation is not known");
    let answers = gate.send(plan.tokens, |number| crowd.token(number)).await?;
    ensure!(answers.keys().all(|status| *status == 200), "good tokens were answered {answers:?}");
    let with_tokens = gate.memory().await?;
    let forged_answers = gate.send(plan.forged, |number| crowd.forged(number)).await?;
    let flooded = gate.memory().await?;
    gate.envoy.ensure_no_crash().await?;
    Ok(Report {
        empty_bytes: empty,
        revocations_1m_bytes: revocations,
        with_tokens_100k_bytes: with_tokens,
        forged_1m_growth_bytes: flooded.saturating_sub(with_tokens),
        plan,
        forged_answers,
        cache: json!({"entries": 10_000, "bytes": 8_388_608}),
        envoy: gate.envoy.admin().version().await?,
    })
}

/// An Envoy of one worker in front of a sidecar that has the crowd's feed.
struct Gate {
    envoy: Envoy,
    sender: SendRequest<Empty<Bytes>>,
    _sidecar: FakeSidecar,
}

impl Gate {
    /// Starts it, and waits until every VM has read the feed.
    async fn start(crowd: &Arc<Crowd>, upstream: &Upstream, dir: &Path) -> Result<Self> {
        let sidecar = FakeSidecar::start(crowd.sidecar(), 0).await?;
        let mut config = Config::example()?;
        config.use_free_ports()?;
        config.set_cluster_port("app", upstream.address().port())?;
        config.set_cluster_port("session-gate-sidecar", sidecar.address().port())?;
        config.set_module(&tools::filter()?)?;
        // Nobody reads it.
        config.manager()?.as_object_mut().context("a manager is an object")?.remove("access_log");
        *config.filter() = json!({
            "sidecar": {"cluster": "session-gate-sidecar"},
            "issuers": [{
                "issuer": "session-gate", "audiences": ["session-gate"], "jwks": "sidecar", "opaque_tokens": true,
            }],
        });
        let envoy = Envoy::start(&config, 1, dir).await?;
        until("every VM to have read the feed", async || {
            ensure!(crowd.readers() == VMS, "{} of {VMS}", crowd.readers());
            Ok(())
        })
        .await?;
        let stream = TcpStream::connect(envoy.address()).await?;
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // How it ends shows in the requests that it carries.
        tokio::spawn(async { connection.await.ok() });
        Ok(Self { envoy, sender, _sidecar: sidecar })
    }

    /// The linear memory of the largest VM, once a tick has shown what there is.
    async fn memory(&self) -> Result<u64> {
        let mut before = None;
        until("the memory to be shown", async || {
            let stats = self.envoy.admin().stats("session_gate.vm_memory_bytes").await?;
            let now = stats.values().max().copied().filter(|bytes| *bytes > 0);
            let was = std::mem::replace(&mut before, now);
            ensure!(now.is_some() && was == now, "{was:?}, {now:?}");
            now.context("no figure")
        })
        .await
    }

    async fn status(&self, token: &str) -> Result<u16> {
        exchange(self.sender.clone(), self.envoy.address().to_string(), token.to_owned()).await
    }

    /// Sends that many requests, and counts what they were answered.
    async fn send(&self, count: u64, token: impl Fn(u64) -> Result<String>) -> Result<BTreeMap<u16, u64>> {
        let mut answers = BTreeMap::new();
        let mut under_way = JoinSet::new();
        for number in 0..count {
            if under_way.len() >= AT_ONCE {
                let status: u16 = under_way.join_next().await.context("something is under way")???;
                *answers.entry(status).or_insert(0) += 1;
            }
            under_way.spawn(exchange(self.sender.clone(), self.envoy.address().to_string(), token(number)?));
        }
        while let Some(status) = under_way.join_next().await {
            *answers.entry(status??).or_insert(0) += 1;
        }
        Ok(answers)
    }
}

async fn exchange(mut sender: SendRequest<Empty<Bytes>>, authority: String, token: String) -> Result<u16> {
    let request = Request::get(format!("http://{authority}/orders"))
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(Empty::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await.context("the answer breaks off")?;
    Ok(status)
}
