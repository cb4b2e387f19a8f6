//! Envoy's admin interface.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::client::{Call, Http, Reply};

/// The admin interface of one Envoy.
#[derive(Clone, Copy, Debug)]
pub struct Admin {
    address: SocketAddr,
}

impl Admin {
    /// The admin interface at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn get(&self, path: &str) -> Result<Reply> {
        Call::get(path).send(self.address, Http::V1).await
    }

    /// Envoy's version.
    ///
    /// # Errors
    /// Where it does not say.
    pub async fn version(&self) -> Result<String> {
        let info = self.get("/server_info").await?.json()?;
        let version = info.pointer("/version").and_then(Value::as_str).context("no version")?;
        Ok(version.split('/').nth(1).unwrap_or(version).to_owned())
    }

    /// Where the gate's listener got its port.
    ///
    /// # Errors
    /// While there is none.
    pub async fn listener(&self) -> Result<SocketAddr> {
        self.listener_named("gate").await
    }

    /// The same of the listener with that name.
    ///
    /// # Errors
    /// While there is none.
    pub async fn listener_named(&self, name: &str) -> Result<SocketAddr> {
        let listeners = self.get("/listeners?format=json").await?.json()?;
        let all = listeners.get("listener_statuses").and_then(Value::as_array).context("no listeners")?;
        let listener = all.iter().find(|listener| listener.get("name").and_then(Value::as_str) == Some(name));
        let address = listener.and_then(|it| it.pointer("/local_address/socket_address")).context("no listener")?;
        let host = address.pointer("/address").and_then(Value::as_str).context("no address")?;
        let port = address.pointer("/port_value").and_then(Value::as_u64).context("no port")?;
        Ok(format!("{host}:{port}").parse()?)
    }

    /// The counters and gauges whose name matches the regular expression.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn stats(&self, filter: &str) -> Result<BTreeMap<String, u64>> {
        let stats = self.get(&format!("/stats?format=json&filter={filter}")).await?.json()?;
        let stats = stats.get("stats").and_then(Value::as_array).context("no stats")?;
        Ok(stats
            .iter()
            .filter_map(|stat| {
                let name = stat.get("name").and_then(Value::as_str)?;
                let value = stat.get("value").and_then(Value::as_u64)?;
                Some((name.to_owned(), value))
            })
            .collect())
    }

    /// The counters that move when a VM has crashed or been started anew: the ones to alert on.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn crash_counters(&self) -> Result<BTreeMap<String, u64>> {
        let mut counters = self.stats("wasm").await?;
        counters.retain(|name, _| ["vm_reload", "vm_failure", "crash", "error"].iter().any(|part| name.contains(part)));
        Ok(counters)
    }
}
