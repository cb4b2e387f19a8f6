//! `envoy/envoy.yaml`, as users copy it, with what a test must change.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use crate::tls::Certificate;
use crate::tools;

const LISTENER: &str = "/static_resources/listeners/0";
const MANAGER: &str = "/filter_chains/0/filters/0/typed_config";
const WASM: &str = "/typed_config/config";
/// JSON as text.
const FILTER: &str = "/configuration/value";
/// The listener with TLS, beside the example's own.
pub const TLS_LISTENER: &str = "gate-tls";

/// An Envoy configuration that started as the example.
#[derive(Clone)]
pub struct Config {
    root: Value,
    /// The filter's own configuration, which is a text within `root`.
    filter: Value,
    /// Whether the filter is there.
    is_gated: bool,
    /// Port and certificate of the listener with TLS.
    tls: Option<(u16, Certificate)>,
}

impl Config {
    /// The example, unchanged but for what only Linux has.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn example() -> Result<Self> {
        let path = tools::envoy_yaml();
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let root = serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
        let mut config = Self { root, filter: Value::Null, is_gated: true, tls: None };
        let filter = at(config.wasm()?, FILTER)?.as_str().context("the filter's configuration is a text")?.to_owned();
        config.filter = serde_json::from_str(&filter)?;
        if !cfg!(target_os = "linux") {
            config.listener()?.as_object_mut().context("a listener is an object")?.remove("socket_options");
        }
        Ok(config)
    }

    /// Puts listener and admin interface on ports that the system chooses, so that two Envoys never
    /// meet.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn use_free_ports(&mut self) -> Result<()> {
        self.use_ports(0, 0)
    }

    /// Puts listener and admin interface on the given ports.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn use_ports(&mut self, listener: u16, admin: u16) -> Result<()> {
        *at(&mut self.root, "/admin/address/socket_address/port_value")? = json!(admin);
        *at(self.listener()?, "/address/socket_address/port_value")? = json!(listener);
        Ok(())
    }

    /// Adds a listener like the example's that ends TLS, as docs/operating.md has it.
    pub fn listen_with_tls(&mut self, port: u16, certificate: Certificate) {
        self.tls = Some((port, certificate));
    }

    /// Points a cluster at a port of this machine.
    ///
    /// # Errors
    /// Where there is no such cluster.
    pub fn set_cluster_port(&mut self, name: &str, port: u16) -> Result<()> {
        let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address/port_value";
        *at(self.cluster(name)?, endpoint)? = json!(port);
        Ok(())
    }

    /// Has a cluster spoken to by whichever protocol the client came with: gRPC needs HTTP/2, and a
    /// WebSocket HTTP/1.1.
    ///
    /// # Errors
    /// Where there is no such cluster.
    pub fn speak_as_the_client_does(&mut self, cluster: &str) -> Result<()> {
        let options = json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}},
        }});
        let cluster = self.cluster(cluster)?.as_object_mut().context("a cluster is an object")?;
        cluster.insert("typed_extension_protocol_options".to_owned(), options);
        Ok(())
    }

    /// Takes the filter out: what is left is a bare Envoy.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn remove_gate(&mut self) -> Result<()> {
        let filters = at(self.manager()?, "/http_filters")?.as_array_mut().context("filters are a list")?;
        filters.retain(|filter| filter.get("name") != Some(&json!("session-gate")));
        self.is_gated = false;
        Ok(())
    }

    /// Sets for how long Envoy waits until an upstream's answer begins.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn set_time_until_an_answer_begins(&mut self, timeout: &str) -> Result<()> {
        let route = "/route_config/virtual_hosts/0/routes/2/route/retry_policy/per_try_timeout";
        *at(self.manager()?, route)? = json!(timeout);
        Ok(())
    }

    /// Loads another module in place of the filter.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn set_module(&mut self, module: &Path) -> Result<()> {
        *at(self.wasm()?, "/vm_config/code/local/filename")? = json!(module);
        Ok(())
    }

    /// The whole of it.
    pub fn root(&mut self) -> &mut Value {
        &mut self.root
    }

    /// The listener.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn listener(&mut self) -> Result<&mut Value> {
        at(&mut self.root, LISTENER)
    }

    /// The HTTP connection manager.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn manager(&mut self) -> Result<&mut Value> {
        at(self.listener()?, MANAGER)
    }

    /// The plugin: VM, module and configuration.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn wasm(&mut self) -> Result<&mut Value> {
        let filters = at(self.manager()?, "/http_filters")?.as_array_mut().context("filters are a list")?;
        let gate = filters.iter_mut().find(|filter| filter.get("name") == Some(&json!("session-gate")));
        at(gate.context("no filter session-gate")?, WASM)
    }

    /// Puts filters before the gate, as a document has them in YAML: a list.
    ///
    /// # Errors
    /// Where it is none, or the example has changed its shape.
    pub fn put_before_gate(&mut self, filters: &str) -> Result<()> {
        let before: Vec<Value> = serde_saphyr::from_str(filters)?;
        let filters = at(self.manager()?, "/http_filters")?.as_array_mut().context("filters are a list")?;
        filters.splice(0..0, before);
        Ok(())
    }

    /// Puts routes of Envoy's before the others, as a document has them in YAML: a list.
    ///
    /// # Errors
    /// Where it is none, or the example has changed its shape.
    pub fn put_routes_first(&mut self, routes: &str) -> Result<()> {
        let first: Vec<Value> = serde_saphyr::from_str(routes)?;
        let routes = at(self.manager()?, "/route_config/virtual_hosts/0/routes")?;
        routes.as_array_mut().context("routes are a list")?.splice(0..0, first);
        Ok(())
    }

    /// The filter's own configuration.
    pub fn filter(&mut self) -> &mut Value {
        &mut self.filter
    }

    /// The cluster with that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn cluster(&mut self, name: &str) -> Result<&mut Value> {
        let clusters = at(&mut self.root, "/static_resources/clusters")?.as_array_mut();
        let mut clusters = clusters.context("clusters are a list")?.iter_mut();
        clusters.find(|cluster| cluster.get("name") == Some(&json!(name))).with_context(|| format!("no cluster {name}"))
    }

    /// The whole of it, as Envoy reads it.
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn render(&self) -> Result<String> {
        Ok(format!("{:#}", self.with_filter()?.root))
    }

    /// The same, but that Envoy reads its listener from `file`: see [`Config::write_listener`].
    ///
    /// # Errors
    /// Where the example has changed its shape.
    pub fn render_without_listener(&self, file: &Path) -> Result<String> {
        let mut root = self.root.clone();
        let dir = file.parent().context("a file is in a folder")?;
        *at(&mut root, "/static_resources/listeners")? = json!([]);
        root.as_object_mut().context("a bootstrap is an object")?.extend([
            ("node".to_owned(), json!({"id": "test", "cluster": "test"})),
            (
                "dynamic_resources".to_owned(),
                json!({"lds_config": {
                    "resource_api_version": "V3",
                    "path_config_source": {"path": file, "watched_directory": {"path": dir}},
                }}),
            ),
        ]);
        Ok(format!("{root:#}"))
    }

    /// Writes the file from which Envoy reads its listener, in one step.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_listener(&self, file: &Path) -> Result<()> {
        let mut listener = self.with_filter()?.listener()?.take();
        listener
            .as_object_mut()
            .context("a listener is an object")?
            .insert("@type".to_owned(), json!("type.googleapis.com/envoy.config.listener.v3.Listener"));
        let new = file.with_extension("new");
        std::fs::write(&new, json!({"resources": [listener]}).to_string())?;
        std::fs::rename(&new, file)?;
        Ok(())
    }

    fn with_filter(&self) -> Result<Self> {
        let mut config = self.clone();
        if self.is_gated {
            *at(config.wasm()?, FILTER)? = json!(self.filter.to_string());
        }
        if let Some((port, certificate)) = &self.tls {
            let listener = with_tls(config.listener()?.clone(), *port, certificate)?;
            let listeners = at(&mut config.root, "/static_resources/listeners")?.as_array_mut();
            listeners.context("listeners are a list")?.push(listener);
        }
        Ok(config)
    }
}

fn with_tls(mut listener: Value, port: u16, certificate: &Certificate) -> Result<Value> {
    *at(&mut listener, "/name")? = json!(TLS_LISTENER);
    *at(&mut listener, "/address/socket_address/port_value")? = json!(port);
    let chain = at(&mut listener, "/filter_chains/0")?.as_object_mut().context("a filter chain is an object")?;
    let socket = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": certificate.file()},
                    "private_key": {"filename": certificate.key_file()},
                }],
            },
        },
    });
    chain.insert("transport_socket".to_owned(), socket);
    Ok(listener)
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

fn at<'v>(value: &'v mut Value, pointer: &str) -> Result<&'v mut Value> {
    value.pointer_mut(pointer).ok_or_else(|| anyhow!("envoy.yaml has nothing at {pointer}"))
}
