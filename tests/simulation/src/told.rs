//! What workers do with successors of tokens: they serve by them, and tell their clients.

use session_gate_protocol::RenewReply;

use crate::{
    sidecar::Answer,
    under_way::Request,
    worker_host::{Deed, RequestId},
    world::World,
};

impl World {
    /// A worker was answered what takes the place of a token, or was not: these requests have waited for it.
    pub(crate) fn hear_of_successor(&mut self, worker: usize, shown: &str, answer: Option<&Answer>, deeds: &[Deed]) {
        let now = self.now;
        let reply = answer.and_then(|answer| serde_json::from_slice::<RenewReply>(&answer.body).ok());
        let successor = reply.and_then(|reply| self.token_reading(&reply.token?.token));
        let Some((shown, successor)) = self.token_reading(shown).zip(successor) else { return };
        let Some(place) = self.workers.get_mut(worker) else { return };
        place.mind.successors.insert(shown, (successor, now));
        for deed in deeds {
            let Deed::Renewed(id) = deed else { continue };
            if let Some(request) = place.requests.get_mut(id) {
                (request.renewed_from, request.token) = (request.token, Some(successor));
                self.counts.one("renewals", "of an expired cookie");
            }
        }
    }

    /// A request is served by the token with that id, which is its own or has taken its place.
    pub(crate) fn serve_by(&mut self, worker: usize, id: RequestId, token: &str) {
        let served = self.token_with_id(token);
        let place = self.workers.get_mut(worker);
        let Some(request) = place.and_then(|place| place.requests.get_mut(&id)) else { return };
        if request.is_cookie && served.is_some() && request.token != served {
            (request.renewed_from, request.token) = (request.token, served);
        }
    }

    /// What an answer tells its client.
    pub(crate) fn tell(&mut self, worker: usize, request: &Request, deeds: &[Deed]) {
        for deed in deeds {
            if let Deed::Tell(token) = deed {
                self.on_told(worker, request, token);
            }
        }
    }
}
