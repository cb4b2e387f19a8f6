//! What Envoy knows of requests: where they come from and go to, and what filters before this one have noted.

use std::net::{IpAddr, SocketAddr};

use session_gate_policy::{host::RequestAttributes, ids::RequestId};

use crate::{crypto::Envoy, host};

impl RequestAttributes for Envoy {
    /// Envoy's downstream remote address: with `use_remote_address` and trusted hops that of the client
    /// before them, never what a header alone says.
    fn address(&self, request: RequestId) -> Option<IpAddr> {
        let text = host::act_for(request).then(|| host::property(&["source", "address"])).flatten()?;
        let text = String::from_utf8(text).ok()?;
        let address = text.parse::<SocketAddr>().map(|socket| socket.ip()).or_else(|_| text.parse::<IpAddr>());
        address.ok()
    }

    /// The cluster of the route that Envoy has chosen for the request as it has come.
    fn cluster(&self, request: RequestId) -> Option<Vec<u8>> {
        host::act_for(request).then(|| host::property(&["xds", "cluster_name"])).flatten()
    }
    fn metadata(&self, request: RequestId, namespace: &str, key: &str) -> Option<Vec<u8>> {
        host::act_for(request).then(|| host::property(&["metadata", "filter_metadata", namespace, key])).flatten()
    }
}
