//! What decisions have shown, for the summary.

use crate::{
    decision::Decision, foreign, idle, numbers::TokenNumber, opaque, scopes, second_factor, worker_host::Route,
    world::World,
};

impl World {
    /// Counts what a decision has shown.
    pub(crate) fn note_exercised(
        &mut self,
        token: Option<TokenNumber>,
        decision: Decision,
        route: Route,
        asked: Option<bool>,
    ) {
        let Some(token) = token.and_then(|token| self.truth.token(token)) else { return };
        let session = self.truth.session_of(token);
        let foreign = token.foreign.and_then(|_| foreign::exercised(decision, route.demand()));
        let wall = self.store_wall.at(self.now) / 1_000;
        let clock = token.foreign.and_then(|_| foreign::by_clock(decision, (token.issued, token.expires), wall));
        let shown = [
            ("foreign tokens", clock),
            ("foreign tokens", foreign),
            ("idle sessions", idle::exercised(session.and_then(|session| session.idle), decision, asked)),
            ("opaque tokens", token.is_opaque().then(|| opaque::exercised(decision, asked)).flatten()),
            ("scopes", scopes::exercised(token.scopes, decision, route.demand())),
            ("second factors", second_factor::exercised(token, session, decision, asked)),
        ];
        for (group, name) in shown {
            name.into_iter().for_each(|name| self.counts.one(group, name));
        }
    }
}
