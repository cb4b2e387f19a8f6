//! What a decision is held against, from what the world knows.

use crate::{
    check::Case,
    parameters::Weather,
    store::refusing::Does,
    under_way::Request,
    world::{WorkerPlace, World},
};

impl World {
    /// A request at that worker, as it is to be judged now.
    pub(crate) fn case<'a>(&'a self, worker: usize, place: &'a WorkerPlace, request: &Request) -> Case<'a> {
        let Request { token, is_cookie, renewed_from, told, address, route, arrived, asked, asked_at, version, .. } =
            *request;
        let (now, is_healthy, store_wall_now) = (self.now, self.is_healthy(), self.store_wall.at(self.now));
        let idle = self.parameters.idle_timeout.map_or(0, |idle| idle.as_secs() * 1_000);
        Case {
            truth: &self.truth,
            now,
            worker,
            clock: &place.clock,
            mind: &place.mind,
            settings: &self.parameters.settings,
            token,
            is_cookie,
            renewed_from,
            told,
            address,
            route,
            arrived: asked_at.unwrap_or(arrived).min(arrived),
            asked,
            version,
            is_healthy,
            leases_may_be_refused: self.parameters.may_refuse,
            must_be_current: is_healthy && (self.parameters.has_own_sidecar || self.parameters.replicas == 1),
            feeds_may_be_away: self.parameters.weather == Weather::Rough,
            keys_since: self.keys_since,
            store_wall: store_wall_now / 1_000,
            store_wall_now,
            uses_may_be_lost: self.refusals.may_concern(Does::Add, now.saturating_sub(3 * idle)),
        }
    }
}
