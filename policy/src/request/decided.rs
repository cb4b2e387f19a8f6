//! A request that is decided: its answer is on the way, or goes on as a stream.
//!
//! A stream ends with what it was admitted by: when the feed takes that back, and when its session's time is over, or
//! that of a token without a session. An answer that begins only after its session was ended may be the one to the
//! request that has ended it: it has [`Follower::max_staleness`] to be over. One that has not begun has [`UNANSWERED`]
//! to come: until then nobody knows whether its request ends, or sends on and on. Of gRPC, whose streams often say
//! nothing before their first message, [`UNANSWERED_GRPC`].

mod again;

use std::{fmt, rc::Rc, time::Duration};

use session_gate_protocol::{DenyReason, UserId};

use super::{
    command_context::CommandContext, context::StepContext, effect::Effect, limit_record::LimitRecord,
    pending::PendingRequest, renew::TokenRenewal,
};
use crate::{
    host::{ClientInfo, Host},
    http::{
        credential::Source,
        headers::{HeaderChange, Headers},
        session_headers,
    },
    ids::RequestId,
    knowledge::{
        Changes, Follower, Identity,
        standing::{Case, Evidence, Standing, standing},
    },
    limits::Ledger,
    metric::Counter,
    response::caching::{self, DependsOn},
    routing::{Authentication, Route, SessionCommands},
    time::Now,
    token::{Revocation, TokenText},
};

/// How long after its end a request that has no answer yet may go on: as long as Envoy gives any request by default
/// (`timeout` of a route), so that the request that has ended its own session is answered.
pub const UNANSWERED: Duration = Duration::from_secs(15);

/// The same of a call of gRPC: enough for a unary one that ends its own session.
const UNANSWERED_GRPC: Duration = Duration::from_secs(1);

/// What is known of a request that is decided.
#[derive(Debug)]
pub struct Decided {
    route: Rc<Route>,
    https: bool,
    /// Where its token came from.
    source: Option<Source>,
    /// By what it was admitted; none: it was not, or its stream is being ended.
    admitted: Option<Admitted>,
    /// Whether it goes on for as long as both sides like: its answer has begun, or it is an upgrade, whose answer may
    /// begin late.
    is_stream: bool,
    is_grpc: bool,
    /// Since when the sidecar is to be asked, whatever the feed says: a reply to an earlier question does not count.
    unsure_since: Option<Duration>,
    /// When to look whether it still may.
    alarm: Option<Duration>,
    /// Until when it may go on without an answer although it is refused by now.
    ends_by: Option<Duration>,
    /// When its session was last known to be in use.
    live_at: Duration,
    /// What its limits have said.
    record: LimitRecord,
    /// What was kept for its answer, where that may say something of sessions.
    command: Option<Box<CommandContext>>,
    /// What lets the page that has asked read the answer of one of the gate's own endpoints.
    cors: Vec<HeaderChange>,
}

/// By what a request was admitted.
pub(super) struct Admitted {
    pub(super) user_agent: Rc<str>,
    /// The token, and as whom it is served; none: it is anonymous.
    pub(super) identity: Option<(Rc<str>, Rc<Identity>)>,
    /// What becomes of the token with its answer.
    pub(super) renewal: TokenRenewal,
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted").field("is_anonymous", &self.identity.is_none()).finish_non_exhaustive()
    }
}

impl Decided {
    /// A request that was refused, by us or by Envoy.
    pub(super) fn refused(held: PendingRequest, record: LimitRecord) -> Self {
        let PendingRequest { route, style, source, command, .. } = held;
        Self { https: style.scheme.is_https(), source, is_grpc: style.grpc, record, command, ..Self::unseen(&route) }
    }

    /// A request that was forwarded.
    pub(super) fn admitted(held: PendingRequest, record: LimitRecord, admitted: Admitted, now: Now) -> Self {
        let is_stream = held.is_upgrade;
        let policy = &held.route.policy;
        let cors = match &policy.cors {
            Some(cors) if policy.endpoint.is_some() => cors.changes_for(held.style.origin.as_deref()),
            Some(_) | None => Vec::new(),
        };
        let decided = Self::refused(held, record);
        let mut decided = Self { admitted: Some(admitted), is_stream, live_at: now.monotonic, cors, ..decided };
        decided.set_alarm(now);
        decided
    }

    /// A request whose headers were never seen.
    pub(super) fn unseen(route: &Rc<Route>) -> Self {
        Self {
            route: Rc::clone(route),
            https: false,
            source: None,
            admitted: None,
            is_stream: false,
            is_grpc: false,
            unsure_since: None,
            alarm: None,
            ends_by: None,
            live_at: Duration::ZERO,
            record: LimitRecord::default(),
            command: None,
            cors: Vec::new(),
        }
    }

    /// When [`super::Event::Alarm`] is due, on the worker's clock.
    pub const fn alarm(&self) -> Option<Duration> {
        self.alarm
    }

    /// Whether its stream must be ended at once, for what the feed has said just now. Says so once. Without an answer
    /// it has time until its alarm; where the feed may not have said all, its alarm rings now, and the sidecar is asked.
    pub fn must_end<H: Host>(&mut self, id: RequestId, changes: &Changes, feed: &Follower, host: &H, now: Now) -> bool {
        let is_refused = (changes.rules && self.is_blocked(id, Some(feed), host, now))
            || (self.is_touched(changes) && self.refusal(Some(feed), now).is_some());
        if is_refused && !self.is_stream {
            self.alarm = Some(*self.ends_by.get_or_insert(now.monotonic.saturating_add(self.patience())));
            return false;
        }
        if is_refused {
            self.admitted = None;
            self.alarm = None;
        } else if changes.unheard && self.identity().is_some_and(|(_, one)| one.claims.revocation() != Revocation::None)
        {
            self.unsure_since = Some(now.monotonic);
            self.alarm = Some(now.monotonic);
        }
        is_refused
    }

    /// How long after its end it may go on.
    const fn patience(&self) -> Duration {
        match (self.is_stream, self.is_grpc) {
            (true, _) => Duration::ZERO,
            (false, true) => UNANSWERED_GRPC,
            (false, false) => UNANSWERED,
        }
    }

    /// Whether its client is on the denylist.
    fn is_blocked<H: Host>(&self, id: RequestId, feed: Option<&Follower>, host: &H, now: Now) -> bool {
        let client = self.admitted.as_ref().map(|admitted| ClientInfo::new(host, id, &admitted.user_agent));
        client.zip(feed).is_some_and(|(client, feed)| feed.blocks(&client, now.wall))
    }

    fn is_refused<H: Host>(&self, cx: &StepContext<'_, H>) -> bool {
        let feed = cx.feed.as_deref();
        self.is_blocked(cx.id, feed, cx.host, cx.now) || self.refusal(feed, cx.now).is_some()
    }

    fn is_touched(&self, changes: &Changes) -> bool {
        let Some((_, identity)) = self.identity() else { return false };
        let names = identity.claims.names();
        let named = identity.claims.named_session().map(|(_, name)| name);
        let session = identity.session.as_ref().map(|session| session.names.session);
        let names = [Some(names.user), names.token, named, session];
        changes.rules || names.into_iter().flatten().any(|name| changes.touched.contains(&name))
    }

    fn identity(&self) -> Option<(&Rc<str>, &Rc<Identity>)> {
        self.admitted.as_ref().and_then(|admitted| admitted.identity.as_ref()).map(|(token, one)| (token, one))
    }

    fn judge(&self, feed: Option<&Follower>, now: Now, evidence: Evidence) -> Option<Standing> {
        let (token, identity) = self.identity()?;
        let case = Case { identity, token: TokenText(token), route: &self.route.policy, feed, now, is_open: true };
        Some(standing(&case, evidence))
    }

    /// Why it would not go on, by what is known; none: it goes on.
    fn refusal(&self, feed: Option<&Follower>, now: Now) -> Option<DenyReason> {
        match self.judge(feed, now, Evidence::Feed)? {
            Standing::Refused(reason) => Some(reason),
            Standing::Served(_) | Standing::Unknown => None,
        }
    }

    /// It is over: what it held of limits counts no more.
    pub fn release(&self, ledger: &mut Ledger, now: Duration) {
        self.record.release(ledger, now);
    }

    /// Its rule.
    pub(super) const fn route(&self) -> &Rc<Route> {
        &self.route
    }

    /// What its answer may say of sessions, if it was forwarded and its route allows anything.
    pub(super) fn commanded(&self) -> Option<(&CommandContext, &SessionCommands)> {
        self.admitted.as_ref()?;
        self.command.as_deref().zip(self.route.policy.session_commands.as_ref())
    }

    /// Whom its route serves, and nobody without a token.
    pub(super) fn signed_in(&self) -> Option<&UserId> {
        let is_required = self.route.policy.authentication == Authentication::Required;
        self.user().filter(|_| is_required)
    }

    /// As whom it is served, if it is.
    pub(super) fn user(&self) -> Option<&UserId> {
        self.identity().map(|(_, identity)| identity.claims.subject())
    }

    /// Whether nobody has vouched for its sender.
    pub(super) const fn is_anonymous(&self) -> bool {
        match &self.admitted {
            Some(admitted) => admitted.identity.is_none(),
            None => true,
        }
    }

    /// Whether it is served by a token of another issuer's.
    pub(super) fn is_of_another_issuer(&self) -> bool {
        self.identity().is_some_and(|(_, identity)| identity.claims.revocation() != Revocation::Sessions)
    }

    /// Its answer was replaced by ours: what it says that the request has cost counts all the same.
    pub(super) fn replaced<H: Host>(mut self, answer: &Headers, cx: &mut StepContext<'_, H>) -> Self {
        let Self { route, record, .. } = &mut self;
        let (ledger, now) = (cx.ledger.as_deref_mut(), cx.now.monotonic);
        drop(record.settle_costs(&route.policy.limits, answer, ledger, now));
        Self { admitted: None, alarm: None, is_stream: true, ..self }
    }

    /// Its answer's headers have come.
    pub(super) fn answered<H: Host>(
        mut self,
        answer: &Headers,
        cx: &mut StepContext<'_, H>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        self.is_stream = true;
        let mut changes = self.route.policy.security_headers.changes(answer, self.https);
        changes.extend(caching::changes(answer, self.depends_on()));
        let said = session_headers::removal(answer);
        if !said.is_empty() && self.command.is_none() {
            effects.push(Effect::Count(Counter::SessionHeaderStripped));
        }
        changes.extend(said);
        changes.append(&mut self.cors);
        let Self { route, record, .. } = &mut self;
        let (ledger, now) = (cx.ledger.as_deref_mut(), cx.now.monotonic);
        changes.extend(record.settle_costs(&route.policy.limits, answer, ledger, now));
        changes.extend(record.report.take().iter().flat_map(|report| report.headers(cx.config.limit_headers)));
        if let Some(told) = self.new_token(answer, cx) {
            changes.extend(told);
            effects.push(Effect::Count(Counter::RenewalTold));
        }
        effects.push(Effect::ChangeAnswer(changes));
        self.set_alarm(cx.now);
        if let Some(feed) = cx.feed.as_deref()
            && self.is_refused(cx)
        {
            // Perhaps it has ended its session itself.
            self.alarm = Some(cx.now.monotonic.saturating_add(feed.max_staleness()));
        }
        self
    }

    /// What tells the client of the token that takes the place of its own, while its session may go on.
    fn new_token<H: Host>(&self, answer: &Headers, cx: &StepContext<'_, H>) -> Option<Vec<HeaderChange>> {
        let Admitted { renewal, identity, .. } = self.admitted.as_ref()?;
        let (token, _) = identity.as_ref()?;
        if matches!(renewal, TokenRenewal::No) {
            return None;
        }
        match self.judge(cx.feed.as_deref(), cx.now, Evidence::Feed)? {
            Standing::Served(_) => renewal.tell(token, self.source, answer, cx),
            Standing::Refused(_) | Standing::Unknown => None,
        }
    }

    /// Its answer says something of the session: what the client is told of it comes from there.
    pub(super) fn keep_token(&mut self) {
        if let Some(admitted) = &mut self.admitted {
            admitted.renewal = TokenRenewal::No;
        }
    }

    /// What its answer depends on.
    fn depends_on(&self) -> DependsOn {
        match (self.source, self.route.policy.authentication) {
            (Some(source), _) => DependsOn::Credential(source),
            (None, Authentication::Optional) => DependsOn::NoCredential,
            (None, Authentication::Public | Authentication::Refused | Authentication::Required) => DependsOn::Nothing,
        }
    }

    /// When to look again: when its session's time is over, or that of a token without one, or when the session may
    /// have gone idle. Where nobody has said when the session ends, once its token's time is over. At once where the
    /// sidecar is still to be asked.
    fn set_alarm(&mut self, now: Now) {
        let Some((_, identity)) = self.identity() else { return };
        if self.unsure_since.is_some() {
            self.alarm = Some(now.monotonic);
            return;
        }
        let ends = identity.session.as_ref().and_then(|session| session.ends).map(|ends| ends.since(now.wall));
        let expires = || {
            let left = identity.claims.expires_at() - now.wall.as_f64();
            Duration::try_from_secs_f64(left.max(0.0)).unwrap_or(Duration::MAX)
        };
        let due = now.monotonic.saturating_add(ends.unwrap_or_else(expires)).saturating_add(self.patience());
        let idle = identity.idle_timeout().map(|idle| self.live_at.saturating_add(idle / 4));
        self.alarm = Some(idle.map_or(due, |idle| due.min(idle)));
    }
}
