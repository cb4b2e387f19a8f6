//! What Envoy and the filter do for a worker: its clock's ticks, its calls and their replies, its
//! requests. The only file here that knows the surface of the policy's `Worker`.

use std::{collections::BTreeMap, fmt, net::IpAddr, time::Duration};

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use session_gate_jose::{HostCrypto, HostSignature};
pub use session_gate_policy::ids::RequestId;
use session_gate_policy::{
    config::Config,
    host::RequestAttributes,
    http::headers::Headers,
    ids::Callout,
    metric::Counter,
    request::{Effect, Event},
    sidecar::client::{Call, CallReply},
    vm::Vm,
    worker::Worker,
};
use session_gate_protocol::PROTOCOL_HEADER;

use crate::{
    answers::{COOKIE, TOKEN_ID, said, told_token},
    clocks::{Millis, WorkerClock},
    decision::Decision,
    demands::{self, Demand, Mode},
    foreign,
    header_logins::{self, LoginAnswer},
    limits::settings::{AllLimits, COST_HEADER, KEY_HEADER, KeyName, path},
    rules,
    sidecar::{Answer, ApiCall},
    truth::LEEWAY,
};

/// How often a worker looks whether something is due.
const TICK: Duration = Duration::from_millis(50);

/// What a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerSettings {
    /// For how long it believes what it knows.
    pub max_staleness: Duration,
    /// How long a call may take.
    pub timeout: Duration,
    /// For how long the last knowledge serves on the route that goes by it.
    pub last_known: Duration,
    /// How many requests it may hold.
    pub max_held: u32,
    /// Its limits.
    pub limits: AllLimits,
}

/// How a route serves when nobody can be asked, or by which limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// It refuses.
    Deny,
    /// It lets pass.
    Allow,
    /// It goes by what was known last.
    LastKnown,
    /// It refuses, and has the limits of that number.
    Limited(usize),
    /// Its answers log in.
    LogIn,
    /// It asks for more than a good token.
    Asking(Demand, Mode),
}

/// How a request goes on after it was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// It is answered and over.
    Plain,
    /// Its answer goes on and on.
    Stream,
    /// It asks for another protocol, which goes on and on.
    Upgrade,
}

/// What a call was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// To ask what has changed.
    Feed,
    /// To ask about limits, or to hand back what is left of them.
    Leases,
    /// To fetch the keys, or to report.
    Other,
    /// To ask about a token.
    Check,
    /// To have done what an answer says.
    Command,
    /// To ask for a token's successor.
    Renewal,
}

/// What a worker wants done, or has done.
#[derive(Debug)]
pub enum Deed {
    /// It calls the sidecar.
    Call {
        /// The call's number, the worker's own.
        number: u32,
        /// What for.
        purpose: Purpose,
        /// The call.
        call: ApiCall,
        /// How long it may take.
        timeout: Duration,
    },
    /// It has been answered about the token of that request.
    Told(RequestId),
    /// It has decided.
    Decide(RequestId, Decision),
    /// It has been answered what takes the place of that request's token, if anything does.
    Renewed(RequestId),
    /// That request is served by the token with that id.
    ServedBy(RequestId, String),
    /// It tells its client of its new token.
    Tell(String),
    /// It ends an open stream.
    EndStream(RequestId),
}

/// A worker in the hands of its host.
pub struct WorkerHost {
    worker: Worker,
    clock: WorkerClock,
    /// Calls under way, and in the context of which request each was made: the reply is lost with it.
    calls: BTreeMap<u32, (Callout, Option<RequestId>)>,
    next_call: u32,
    next_request: RequestId,
    peers: Peers,
}

/// Where requests come from.
#[derive(Debug, Default)]
struct Peers(BTreeMap<RequestId, u8>);

impl RequestAttributes for Peers {
    fn address(&self, request: RequestId) -> Option<IpAddr> {
        self.0.get(&request).map(|number| rules::address(*number))
    }
}

impl HostCrypto for Peers {
    fn verify(&self, _job: &HostSignature<'_>) -> Option<bool> {
        None
    }
}

impl fmt::Debug for WorkerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHost").field("clock", &self.clock).finish_non_exhaustive()
    }
}

impl Route {
    fn path(self) -> String {
        match self {
            Self::Deny => "/deny".to_owned(),
            Self::Allow => "/allow".to_owned(),
            Self::LastKnown => "/last-known".to_owned(),
            Self::Limited(number) => path(number),
            Self::LogIn => header_logins::PATH.to_owned(),
            Self::Asking(demand, mode) => demands::path(demand, mode),
        }
    }

    /// What it asks for, beside a good token.
    pub const fn demand(self) -> Option<Demand> {
        match self {
            Self::Asking(demand, _) => Some(demand),
            Self::Deny | Self::Allow | Self::LastKnown | Self::Limited(_) | Self::LogIn => None,
        }
    }

    /// How it serves when nobody can be asked.
    pub const fn mode(self) -> Mode {
        match self {
            Self::Deny | Self::Limited(_) | Self::LogIn => Mode::Deny,
            Self::Allow => Mode::Allow,
            Self::LastKnown => Mode::LastKnown,
            Self::Asking(_, mode) => mode,
        }
    }
}

impl WorkerSettings {
    fn config(self) -> Result<Value> {
        let millis = |duration: Duration| format!("{}ms", duration.as_millis());
        let mut routes = vec![
            json!({"name": "allow", "match": {"path": {"exact": "/allow"}}, "failure_mode": "allow"}),
            json!({
                "name": "last_known", "match": {"path": {"exact": "/last-known"}},
                "failure_mode": {"last_known": millis(self.last_known)},
            }),
        ];
        routes.extend(demands::routes(&millis(self.last_known)));
        routes.extend(self.limits.routes());
        routes.push(header_logins::route());
        Ok(json!({
            "sidecar": {
                "cluster": "sidecar", "timeout": millis(self.timeout),
                "max_staleness": millis(self.max_staleness),
            },
            "issuers": [
                {
                    "issuer": "session-gate", "audiences": ["simulation"], "jwks": "sidecar",
                    "leeway": format!("{LEEWAY}s"),
                    "opaque_tokens": true,
                },
                {
                    "issuer": foreign::ISSUER, "audiences": ["simulation"], "jwks": {"inline": foreign::jwks()?},
                    "leeway": format!("{}s", foreign::LEEWAY),
                },
            ],
            "routes": routes,
            "rate_limits": self.limits.section(),
            "bounds": {"max_held_requests": self.max_held, "rate_limit_keys": self.limits.room},
        }))
    }
}

impl WorkerHost {
    /// A worker that knows nothing yet, in a new VM.
    ///
    /// # Errors
    /// Where the configuration is refused.
    pub fn new(settings: WorkerSettings, name: &str, clock: WorkerClock) -> Result<Self> {
        let config = Config::from_value(settings.config()?).map_err(|problems| anyhow!("{problems:?}"))?;
        let worker = Worker::new(config, name, &mut Vm::default());
        Ok(Self { worker, clock, calls: BTreeMap::new(), next_call: 0, next_request: 0, peers: Peers::default() })
    }

    /// When the next tick is.
    pub fn next_tick(&self, now: Millis) -> Millis {
        self.clock.after(now, TICK)
    }

    /// A tick: makes the calls that are due.
    pub fn tick(&mut self, now: Millis) -> Vec<Deed> {
        let due = self.worker.due(self.clock.now(now));
        due.into_iter().map(|(callout, call)| self.call(callout, None, call)).collect()
    }

    /// The worker looks at the open streams of which that is due.
    pub fn look_at_streams(&mut self, now: Millis) -> Vec<Deed> {
        let due = self.worker.on_alarms(self.clock.now(now), &self.peers);
        due.into_iter().flat_map(|(id, effects)| self.carry_out(id, effects, None)).collect()
    }

    /// The worker goes, in good order.
    pub fn stop(&mut self, now: Millis) -> Vec<Deed> {
        let last = self.worker.hand_back(self.clock.now(now));
        last.into_iter().map(|(callout, call)| self.call(callout, None, call)).collect()
    }

    /// A request comes. `key` tells it apart where no token does.
    pub fn request(
        &mut self,
        now: Millis,
        (token, is_cookie, address): (Option<&str>, bool, u8),
        key: Option<KeyName>,
        route: Route,
        form: Form,
    ) -> (RequestId, Vec<Deed>) {
        self.next_request += 1;
        let id = self.next_request;
        self.peers.0.insert(id, address);
        let path = route.path();
        let method = if route == Route::LogIn { "POST" } else { "GET" };
        let cookie = format!("{COOKIE}=");
        let (name, prefix) = if is_cookie { ("cookie", cookie.as_str()) } else { ("authorization", "Bearer ") };
        let credential = token.map(|token| format!("{prefix}{token}"));
        let key = key.map(|key| key.to_string());
        let mut headers =
            vec![(":method", method), (":path", path.as_str()), (":authority", "app.example"), (":scheme", "https")];
        headers.extend(credential.as_deref().map(|credential| (name, credential)));
        headers.extend(key.as_deref().map(|key| (KEY_HEADER, key)));
        if form == Form::Upgrade {
            headers.push(("upgrade", "websocket"));
        }
        (id, self.step(now, id, Event::Request(Headers::from_iter(headers))))
    }

    /// The headers of a request's answer come. They say what it has cost.
    pub fn answered(&mut self, now: Millis, id: RequestId, cost: u64) -> Vec<Deed> {
        let cost = cost.to_string();
        self.step(now, id, Event::Answer(Headers::from_iter([(":status", "200"), (COST_HEADER, cost.as_str())])))
    }

    /// The headers of an answer come that logs somebody in.
    pub fn answered_with(&mut self, now: Millis, id: RequestId, answer: &LoginAnswer) -> Vec<Deed> {
        let headers = answer.headers();
        self.step(now, id, Event::Answer(headers.iter().map(|(name, value)| (*name, value.as_str())).collect()))
    }

    /// A request is over.
    pub fn forget(&mut self, now: Millis, id: RequestId) {
        self.calls.retain(|_, (_, made_by)| *made_by != Some(id));
        self.worker.forget(id, self.clock.now(now));
        self.peers.0.remove(&id);
    }

    /// A call has brought its reply, or has failed. `None` where it was over already.
    pub fn replied(&mut self, now: Millis, number: u32, answer: Option<&Answer>) -> Option<Vec<Deed>> {
        let (callout, made_by) = self.calls.remove(&number)?;
        let reply = answer.map_or_else(CallReply::failed, |answer| CallReply {
            status: Some(answer.status).filter(|status| *status != 0),
            body: answer.body.to_vec(),
        });
        let is_check = matches!(callout, Callout::Check(_));
        let is_renewal = matches!(callout, Callout::Renewal(_));
        let outcome = self.worker.on_reply_to(callout, &reply, self.clock.now(now), &self.peers);
        let mut requests = outcome.requests;
        // Which stream of several is ended first is of no concern.
        requests.sort_by_key(|(id, _)| *id);
        let mut deeds = Vec::new();
        for (id, effects) in requests {
            deeds.extend(is_check.then_some(Deed::Told(id)));
            deeds.extend(is_renewal.then_some(Deed::Renewed(id)));
            deeds.extend(self.carry_out(id, effects, made_by));
        }
        if made_by.is_none() {
            // Whoever follows the feed asks again at once.
            deeds.extend(self.tick(now));
        }
        Some(deeds)
    }

    fn step(&mut self, now: Millis, id: RequestId, event: Event) -> Vec<Deed> {
        let effects = self.worker.on_request(id, event, self.clock.now(now), &self.peers);
        self.carry_out(id, effects, Some(id))
    }

    /// A call belongs to the context in which the host was called, as with the SDK.
    fn carry_out(&mut self, id: RequestId, effects: Vec<Effect>, active: Option<RequestId>) -> Vec<Deed> {
        let mut deeds = Vec::new();
        for effect in effects {
            match effect {
                Effect::Call(callout, call) => deeds.push(self.call(callout, active, call)),
                Effect::Forward(permit, changes) => {
                    deeds.extend(said(&changes, TOKEN_ID).map(|token| Deed::ServedBy(id, token)));
                    deeds.push(Deed::Decide(id, Decision::Allow(permit.reason())));
                }
                Effect::Count(Counter::Deny(reason)) => deeds.push(Deed::Decide(id, Decision::Deny(reason))),
                Effect::EndStream => deeds.push(Deed::EndStream(id)),
                Effect::HoldAnswer | Effect::ReleaseAnswer => {}
                Effect::ChangeAnswer(changes) => {
                    deeds.extend(told_token(&changes).map(Deed::Tell));
                }
                Effect::Count(_) | Effect::Describe(_) | Effect::Reply(_) => {}
            }
        }
        deeds
    }

    fn call(&mut self, callout: Callout, made_by: Option<RequestId>, call: Call) -> Deed {
        let purpose = match callout {
            Callout::Feed(_) => Purpose::Feed,
            Callout::Check(_) => Purpose::Check,
            Callout::Leases(_) => Purpose::Leases,
            Callout::Renewal(_) => Purpose::Renewal,
            Callout::SessionCommand(_) => Purpose::Command,
            Callout::Activity | Callout::Keys | Callout::LoginLock(_) => Purpose::Other,
        };
        self.next_call += 1;
        self.calls.insert(self.next_call, (callout, made_by));
        Deed::Call { number: self.next_call, purpose, timeout: call.timeout, call: translated(call) }
    }
}

fn translated(call: Call) -> ApiCall {
    let header = |name: &str| call.headers.iter().find(|(given, _)| *given == name).map(|(_, value)| value.clone());
    let method = if call.body.is_some() { "POST" } else { "GET" };
    ApiCall {
        method,
        path: header(":path").unwrap_or_default(),
        content_type: header("content-type").map(|_| "application/json"),
        protocol: header(PROTOCOL_HEADER),
        body: call.body.unwrap_or_default(),
    }
}
