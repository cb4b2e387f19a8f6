//! A stream that goes on is looked at again: whether its session still lives.

use std::{rc::Rc, time::Duration};

use session_gate_protocol::{CheckRequest, DenyReason};

use super::Decided;
use crate::{
    host::Host,
    knowledge::standing::{Evidence, Standing},
    request::{
        ask::{ask, credential_of},
        context::StepContext,
        effect::Effect,
        event::CheckOutcome,
    },
    time::Now,
    token::TokenText,
};

/// How soon the sidecar is asked again about an open stream where it could not be asked.
const RETRY: Duration = Duration::from_secs(1);

impl Decided {
    /// Its alarm has rung: it is ended, or goes on, or the sidecar is asked.
    pub(in crate::request) fn look_again<H: Host>(
        mut self,
        cx: &mut StepContext<'_, H>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        self.alarm = None;
        if self.is_refused(cx) {
            self.admitted = None;
            effects.push(Effect::EndStream);
            return self;
        }
        match self.question(cx) {
            Some(question) => _ = ask(&question, cx, effects),
            None => {
                self.unsure_since = None;
                self.set_alarm(cx.now);
            }
        }
        self.ends_by = None;
        self
    }

    /// The question about its session, where the worker cannot tell whether its time is over.
    fn question<H: Host>(&self, cx: &StepContext<'_, H>) -> Option<Vec<u8>> {
        let (token, identity) = self.identity()?;
        let is_old = |idle: Duration| cx.now.monotonic.saturating_sub(self.live_at) >= idle / 4;
        let may_be_idle = identity.idle_timeout().is_some_and(is_old);
        if !may_be_idle && !self.may_be_over(cx.now) && self.unsure_since.is_none() {
            return None;
        }
        let credential = credential_of(TokenText(token), &identity.claims, &self.route.policy)?;
        let background = self.route.policy.background;
        serde_json::to_vec(&CheckRequest { credential, address: None, user_agent: None, background }).ok()
    }

    /// Whether its token's time is over, and nobody has said when its session ends.
    fn may_be_over(&self, now: Now) -> bool {
        self.identity().is_some_and(|(_, identity)| {
            let ends = identity.session.as_ref().and_then(|session| session.ends);
            ends.is_none() && identity.claims.check_time(now.wall).is_err()
        })
    }

    /// The sidecar has said how its session stands, or could not.
    pub(in crate::request) fn on_check<H: Host>(
        mut self,
        outcome: &CheckOutcome,
        cx: &mut StepContext<'_, H>,
        effects: &mut Vec<Effect>,
    ) -> Self {
        let Some((_, identity)) = self.identity() else { return self };
        if self.is_overtaken(outcome) {
            if self.alarm.is_none() {
                self.set_alarm(cx.now);
            }
            return self;
        }
        let evidence = match &outcome.reply {
            Some(reply) => Evidence::Checked(reply.verdict),
            None => Evidence::Failed(DenyReason::StoreUnavailable),
        };
        let idle = identity.idle_timeout();
        let is_used = |idle| cx.now.monotonic.saturating_sub(self.live_at) < idle;
        let is_hardly_over = idle.map_or(self.unsure_since.is_some() && !self.may_be_over(cx.now), is_used);
        // What its session permits by now counts.
        self.confirm(outcome);
        match self.judge(cx.feed.as_deref(), cx.now, evidence) {
            Some(Standing::Refused(_)) if outcome.reply.is_none() && is_hardly_over => {
                self.alarm = Some(cx.now.monotonic.saturating_add(RETRY));
            }
            // Its alarm rings then.
            Some(Standing::Refused(_)) if !self.is_stream && self.ends_by.is_some() => {}
            Some(Standing::Refused(_)) => {
                self.admitted = None;
                effects.push(Effect::EndStream);
            }
            Some(Standing::Served(_) | Standing::Unknown) | None => self.go_on(outcome, cx),
        }
        self
    }

    /// Whether its session was known to be in use later than when that was asked: then only a refusal says anything.
    fn is_overtaken(&self, outcome: &CheckOutcome) -> bool {
        outcome.asked.at < self.live_at && !outcome.refuses()
    }

    /// Its session is as the sidecar has just said, where it says that it may be used.
    fn confirm(&mut self, outcome: &CheckOutcome) {
        let identity = self.admitted.as_mut().and_then(|admitted| admitted.identity.as_mut());
        let reply = outcome.reply.as_ref().filter(|_| !outcome.refuses());
        if let Some(((_, identity), reply)) = identity.zip(reply) {
            *identity = Rc::new(identity.as_ref().clone().confirmed(reply, outcome.asked.clone()));
        }
    }

    fn go_on<H: Host>(&mut self, outcome: &CheckOutcome, cx: &StepContext<'_, H>) {
        match &outcome.reply {
            // Live, or waiting for its second factor where the route accepts that.
            Some(_) => {
                self.live_at = outcome.asked.at;
                self.unsure_since = self.unsure_since.filter(|since| outcome.asked.at < *since);
                self.set_alarm(cx.now);
            }
            None => self.alarm = Some(cx.now.monotonic.saturating_add(RETRY)),
        }
    }
}
