//! What it costs a request that its token is renewed while its upstream works: beside one whose token is not due, and
//! that beside another such.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::{Value, json};
use session_gate_tests::forge::{EcKey, Parts, Signer as _};
use session_gate_tests::poll::until;
use session_gate_tests::upstream::Upstream;
use session_gate_tests::{Stack, Store};
use tokio::time::Instant;

use crate::api::Api;
use crate::output::Figures;

/// How the client is told of a token that takes the place of its own.
const TOLD: &str = "x-session-token";
/// For how many seconds more a token is good that is due: less than the sidecar's threshold.
const DUE: i64 = 120;

/// How much of everything.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// Tokens that are renewed in a round.
    pub tokens: usize,
    /// Rounds.
    pub rounds: usize,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How much of everything there was.
    #[serde(flatten)]
    pub plan: Plan,
    /// Of the first request with a token, which asks for the successor.
    pub asks: Compared,
    /// Of the first whose answer brings that.
    pub tells: Compared,
    /// How many answers have brought a successor.
    pub told: usize,
}

/// Requests beside others, in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Compared {
    /// The median of requests whose token is due.
    pub due_p50_us: f64,
    /// The median of those whose token is not.
    pub other_p50_us: f64,
    /// How much longer one whose token is due takes than another that was sent right before or after it.
    pub difference_us: Quartiles,
    /// The same of two others: the noise.
    pub noise_us: Quartiles,
}

/// How differences are spread.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Quartiles {
    /// A quarter is no greater.
    pub q1: f64,
    /// Half is no greater.
    pub median: f64,
    /// Three quarters are no greater.
    pub q3: f64,
}

impl Figures for Report {
    fn mistakes(&self) -> Vec<String> {
        let wanted = self.plan.tokens * self.plan.rounds;
        let mistake = format!("of {wanted} tokens {} were renewed", self.told);
        (self.told != wanted).then_some(mistake).into_iter().collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} tokens renewed", self.told)?;
        writeln!(f, "asks for it:      {}", self.asks)?;
        write!(f, "is told of it:    {}", self.tells)
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due_p50_us, other_p50_us, difference_us, noise_us } = self;
        write!(
            f,
            "p50 {due_p50_us:.0} µs, others {other_p50_us:.0}; difference {difference_us}; of two others {noise_us}"
        )
    }
}

impl fmt::Display for Quartiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:+.0} µs ({:+.0} to {:+.0})", self.median, self.q1, self.q3)
    }
}

/// Renews tokens, and sends requests with others in turn with theirs.
///
/// # Errors
/// Where a part does not run, or answers what it should not.
pub async fn run(plan: Plan, upstream: Upstream) -> Result<Report> {
    let stack = Stack::builder().store(Store::Redis).concurrency(1).upstream(upstream).start().await?;
    stack.wait_until_it_serves().await?;
    let gate = Api::connect(stack.address()).await?;
    let key = EcKey::read(stack.sidecar.key_file())?;
    until("tokens that nobody is asked about", async || {
        let before = stack.sidecar_calls("/v1/check").await?;
        let answer = gate.get_with("/orders/7", &token(&stack, &key, "first", None).await?).await?;
        ensure!(answer.status() == 200 && stack.sidecar_calls("/v1/check").await? == before);
        Ok(())
    })
    .await?;
    let (mut asks, mut tells, mut told) = (Times::default(), Times::default(), 0);
    for _ in 0..plan.rounds {
        let mut trios = Vec::new();
        for number in 0..plan.tokens {
            let user = format!("user-{number}");
            let of_user = |left| token(&stack, &key, &user, left);
            trios.push([of_user(Some(DUE)).await?, of_user(None).await?, of_user(None).await?]);
        }
        for (number, trio) in trios.iter().enumerate() {
            asks.0.push(send(&gate, trio, number).await?.0);
        }
        for (number, trio) in trios.iter().enumerate() {
            // A question whose request is over before its answer is there is asked once more, a moment later.
            let taken = until("an answer that brings the successor", async || {
                let (taken, is_told) = send(&gate, trio, number).await?;
                ensure!(is_told);
                Ok(taken)
            });
            tells.0.push(taken.await?);
            told += 1;
        }
    }
    Ok(Report { plan, asks: asks.compared(), tells: tells.compared(), told })
}

/// Sends one request with each token, each trio in another order: what they have taken in microseconds, and whether the answer
/// to the first has brought its successor.
async fn send(gate: &Api, trio: &[String; 3], number: usize) -> Result<([f64; 3], bool)> {
    let (mut taken, mut is_told) = ([0.0; 3], false);
    for turn in 0..3 {
        let which = (number + turn) % 3;
        let Some((token, taken)) = trio.get(which).zip(taken.get_mut(which)) else { continue };
        let start = Instant::now();
        let answer = gate.get_with("/orders/7", token).await?;
        *taken = micros(start.elapsed());
        ensure!(answer.status() == 200, "a request was answered {}", answer.status());
        is_told |= which == 0 && answer.headers().contains_key(TOLD);
    }
    Ok((taken, is_told))
}

/// The token of a login, as it is that many seconds before its end; none: as it was issued.
async fn token(stack: &Stack, key: &EcKey, user: &str, left: Option<i64>) -> Result<String> {
    let token = stack.login(user, &["read"]).await?.token;
    let Some(left) = left else { return Ok(token) };
    let parts = Parts::of(&token)?;
    let issued = parts.claims.get("iat").and_then(Value::as_i64).context("iat")?;
    key.token(&parts.header, &parts.with_claim("exp", json!(issued + left)))
}

/// What requests have taken, in microseconds: with a token that is due, and with two others.
#[derive(Default)]
struct Times(Vec<[f64; 3]>);

impl Times {
    fn compared(&self) -> Compared {
        let of = |value: fn(&[f64; 3]) -> f64| quartiles(self.0.iter().map(value));
        Compared {
            due_p50_us: of(|[due, _, _]| *due).median,
            other_p50_us: of(|[_, other, _]| *other).median,
            difference_us: of(|[due, other, _]| due - other),
            noise_us: of(|[_, other, another]| another - other),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

fn quartiles(values: impl Iterator<Item = f64>) -> Quartiles {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    let at = |quarter: usize| sorted.get((sorted.len() * quarter / 4).min(sorted.len().saturating_sub(1)));
    let at = |quarter| at(quarter).copied().unwrap_or_default();
    Quartiles { q1: at(1), median: at(2), q3: at(3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_of_requests_of_one_trio() {
        let times = Times((1..=99).map(f64::from).map(|at| [at + 5.0, at, at - 1.0]).collect());
        let Compared { due_p50_us, other_p50_us, difference_us, noise_us } = times.compared();
        assert_eq!((due_p50_us, other_p50_us), (55.0, 50.0));
        assert_eq!((difference_us.q1, difference_us.median, difference_us.q3), (5.0, 5.0, 5.0));
        assert_eq!(noise_us.median, -1.0);
        assert_eq!(quartiles(std::iter::empty()).median, 0.0);
    }
}
