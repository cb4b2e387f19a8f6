//! Scenarios as they are played: their steps, and what has come of them.

use std::time::Duration;

use anyhow::Result;
use tokio::{runtime::Builder, time::Instant};

use crate::{
    clients::ClientCall,
    events::{Event, From as Caller},
    history::SHOWN,
    numbers::{SessionNumber, TokenNumber},
    scenario::{
        Call, Request, Scenario,
        script::{Step, StoreLine, Written},
    },
    store::StoreRule,
    world::World,
};

impl Scenario {
    /// Plays it. Answers what went wrong, as text: the promise that was broken, or what should have happened and has
    /// not.
    ///
    /// # Errors
    /// Where the world itself cannot be made.
    pub fn play(self) -> Result<Option<String>> {
        let name = self.name();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let outcome = runtime.block_on(async { World::of_scenario(self).await?.run(SHOWN).await })?;
        Ok(match (outcome.violation, outcome.missed.as_slice()) {
            (Some((violation, trace)), _) => {
                let what = format!("BROKEN: {}: {}", violation.promise, violation.text);
                Some(format!("{what}\n  {}\nscenario: {name}", trace.join("\n  ")))
            }
            (None, []) => None,
            (None, missed) => Some(format!("NOT AS WRITTEN: {}\nscenario: {name}", missed.join("\n  "))),
        })
    }
}

impl World {
    /// A step of a scenario.
    pub(crate) fn take_step(&mut self, step: Step) {
        match step {
            Step::Call(call) => self.written_call(call),
            Step::Fault(fault) => self.strike(fault),
            Step::Link(link) => {
                if let Some(script) = &mut self.script {
                    script.add_link(link);
                }
            }
            Step::Request(request) => self.written_request(request),
            Step::Store(StoreLine { sidecar, op, until, fate }) => {
                let until = Instant::now() + Duration::from_millis(until.saturating_sub(self.now));
                if let Some(place) = self.sidecars.get(sidecar) {
                    place.link.write(StoreRule { op, until, fate });
                }
            }
        }
    }

    fn named(&self, name: &'static str) -> Option<TokenNumber> {
        self.script.as_ref()?.token(name)
    }

    fn written_call(&mut self, call: Call) {
        let number = self.next_call();
        let token = call.of.and_then(|name| self.named(name));
        let found = token.and_then(|token| self.truth.token(token));
        let session: Option<SessionNumber> = found.and_then(|token| token.session);
        let user = found.map_or(call.user, |token| token.user);
        let Call { name, kind, sidecar, waits, variety, .. } = call;
        let call = ClientCall {
            number,
            kind,
            user,
            session,
            token,
            refresh: None,
            wait: waits,
            ambushes: None,
            name: Some(name),
        };
        if let Some(written) = self.written(&call, variety) {
            self.push(self.now, Event::Arrive { sidecar, call: written, from: Caller::Client(call) });
        }
    }

    fn written_request(&mut self, request: Request) {
        let Request { name, worker, token, route, form, course } = request;
        let Some(token) = self.named(token) else { return };
        let Some(text) = self.truth.token(token).map(|token| token.text.clone()) else { return };
        let written = Some(Written { name, course });
        self.deliver(worker, (Some(token), Some(&text)), None, (route, form, written));
    }
}
