//! What a host tells when it is asked: things that most requests don't need and that cost time.

use std::net::IpAddr;

use session_gate_jose::{HostCrypto, NoHostCrypto};

use crate::ids::RequestId;

/// Everything that a host can be asked.
pub trait Host: HostCrypto + RequestAttributes {}

impl<H: HostCrypto + RequestAttributes> Host for H {}

/// What Envoy knows of a request beside what it says itself.
pub trait RequestAttributes {
    /// The client's address as Envoy has found it out: that of the connection, or of the client before
    /// proxies that it trusts. `None` where there is none, a Unix socket for instance.
    fn address(&self, request: RequestId) -> Option<IpAddr>;

    /// The cluster that Envoy's route leads to. `None` where there is no route, none to a cluster, or nobody knows.
    fn cluster(&self, _request: RequestId) -> Option<Vec<u8>> {
        None
    }

    /// A text in the request's dynamic metadata: what a filter before this one has written there. `None` where there is
    /// none.
    fn metadata(&self, _request: RequestId, _namespace: &str, _key: &str) -> Option<Vec<u8>> {
        None
    }
}

impl RequestAttributes for NoHostCrypto {
    fn address(&self, _request: RequestId) -> Option<IpAddr> {
        None
    }
}

/// Who sends a request.
#[derive(Clone, Copy)]
pub struct ClientInfo<'a> {
    peers: &'a dyn RequestAttributes,
    request: RequestId,
    /// The `User-Agent`; empty where there is none.
    pub user_agent: &'a str,
}

impl std::fmt::Debug for ClientInfo<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientInfo").field("request", &self.request).finish_non_exhaustive()
    }
}

impl<'a> ClientInfo<'a> {
    /// Who sends that request.
    pub fn new(peers: &'a dyn RequestAttributes, request: RequestId, user_agent: &'a str) -> Self {
        Self { peers, request, user_agent }
    }

    /// The client's address. Asks the host.
    pub fn address(&self) -> Option<IpAddr> {
        self.peers.address(self.request)
    }
}
