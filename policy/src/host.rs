//! What a host tells when it is asked: things that most requests don't need and that cost time.

use std::net::IpAddr;

use crate::{
    jose::{HostCrypto, NoHostCrypto},
    worker::RequestId,
};

/// Everything that a host can be asked.
pub trait Host: HostCrypto + Peers {}

impl<H: HostCrypto + Peers> Host for H {}

/// Where requests come from.
pub trait Peers {
    /// The client's address as Envoy has found it out: that of the connection, or of the client before
    /// proxies that it trusts. `None` where there is none, a Unix socket for instance.
    fn address(&self, request: RequestId) -> Option<IpAddr>;
}

impl Peers for NoHostCrypto {
    fn address(&self, _request: RequestId) -> Option<IpAddr> {
        None
    }
}

/// Who sends a request.
#[derive(Clone, Copy)]
pub struct Visitor<'a> {
    peers: &'a dyn Peers,
    request: RequestId,
    /// The `User-Agent`; empty where there is none, or none that is text.
    pub user_agent: &'a str,
}

impl std::fmt::Debug for Visitor<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visitor").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<'a> Visitor<'a> {
    /// Who sends that request.
    pub fn new(peers: &'a dyn Peers, request: RequestId, user_agent: &'a str) -> Self {
        Self { peers, request, user_agent }
    }

    /// The client's address. Asks the host.
    pub fn address(&self) -> Option<IpAddr> {
        self.peers.address(self.request)
    }
}
