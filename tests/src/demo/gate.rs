//! Where the demo's gate is to be found.

use std::net::SocketAddr;

use crate::tls::Certificate;

/// The listeners of the demo's Envoy.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The one without TLS.
    pub plain: SocketAddr,
    /// The one with TLS.
    pub tls: SocketAddr,
    /// What it shows there.
    pub certificate: Certificate,
}
