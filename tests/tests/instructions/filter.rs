//! The filter that is shipped, in an interpreter that counts its instructions.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use session_gate_tests::tools;
use wasmi::{CompilationMode, Config, Engine, Instance, Linker, Module, Store, Val};

use crate::{
    guest::Guest,
    host::{self, CALL_RESPONSE_HEADERS, Host, REQUEST_HEADERS, RESPONSE_HEADERS},
    wire::HeaderMap,
};

const ROOT: u32 = 1;
const CONTINUE: u32 = 0;

/// One VM with one configuration.
pub struct Filter {
    store: Store<Host>,
    instance: Instance,
}

impl Filter {
    /// Loads and configures the filter.
    pub fn start(configuration: &Value) -> Result<Self> {
        let mut config = Config::default();
        // Translating a function later would be counted, too.
        config.consume_fuel(true).compilation_mode(CompilationMode::Eager);
        let engine = Engine::new(&config);
        let module = Module::new(&engine, std::fs::read(tools::filter()?)?)?;
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            let (namespace, name) = (import.module(), import.name().to_owned());
            let signature = import.ty().func().context("the filter imports functions only")?.clone();
            linker.func_new(namespace, &name.clone(), signature, move |caller, parameters, results| {
                let arguments = parameters.iter().map(as_u64).collect::<Result<Vec<u64>>>();
                let status = arguments.and_then(|arguments| host::carry_out(&name, &arguments, Guest(caller)));
                let status = status.map_err(|error| wasmi::Error::new(format!("{error:#}")))?;
                if let [result] = results {
                    *result = Val::I32(status.cast_signed());
                }
                Ok(())
            })?;
        }
        let configuration = configuration.to_string().into_bytes();
        let length = u32::try_from(configuration.len())?;
        let mut store = Store::new(&engine, Host::new(configuration));
        store.set_fuel(u64::MAX)?;
        let instance = linker.instantiate_and_start(&mut store, &module)?;
        let mut filter = Self { store, instance };
        filter.call_back("_initialize", &[])?;
        filter.call_back("proxy_on_context_create", &[ROOT, 0])?;
        ensure!(filter.call_back("proxy_on_vm_start", &[ROOT, 0])? == 1, "it does not start");
        ensure!(filter.call_back("proxy_on_configure", &[ROOT, length])? == 1, "it refuses its configuration");
        Ok(filter)
    }

    /// Lets it make the calls that are due.
    pub fn tick(&mut self) -> Result<()> {
        self.call_back("proxy_on_tick", &[ROOT]).map(|_| ())
    }

    /// Answers the calls under way for which there is a reply.
    pub fn answer_calls(&mut self, mut reply: impl FnMut(&str) -> Option<Value>) -> Result<()> {
        for call in std::mem::take(&mut self.store.data_mut().calls) {
            let Some(body) = reply(&call.path) else {
                self.store.data_mut().calls.push(call);
                continue;
            };
            let body = body.to_string().into_bytes();
            let length = u32::try_from(body.len())?;
            let host = self.store.data_mut();
            host.call_response_body = body;
            host.maps.insert(CALL_RESPONSE_HEADERS, vec![(":status".to_owned(), "200".to_owned())]);
            self.call_back("proxy_on_http_call_response", &[ROOT, call.token, 1, length, 0])?;
        }
        Ok(())
    }

    /// A request's headers come. Returns whether it goes on at once.
    pub fn request(&mut self, id: u32, headers: HeaderMap) -> Result<bool> {
        let count = u32::try_from(headers.len())?;
        let host = self.store.data_mut();
        host.resumed = false;
        host.maps.insert(REQUEST_HEADERS, headers);
        self.call_back("proxy_on_context_create", &[id, ROOT])?;
        Ok(self.call_back("proxy_on_request_headers", &[id, count, 1])? == CONTINUE)
    }

    /// The headers of its response come, and it ends.
    pub fn respond(&mut self, id: u32, headers: HeaderMap) -> Result<()> {
        let count = u32::try_from(headers.len())?;
        self.store.data_mut().maps.insert(RESPONSE_HEADERS, headers);
        ensure!(self.call_back("proxy_on_response_headers", &[id, count, 0])? == CONTINUE, "the response is held");
        for end in ["proxy_on_log", "proxy_on_done", "proxy_on_delete"] {
            self.call_back(end, &[id])?;
        }
        Ok(())
    }

    /// What its host has seen of it.
    pub fn host(&self) -> &Host {
        self.store.data()
    }

    /// How many instructions it has executed.
    pub fn instructions(&self) -> Result<u64> {
        Ok(u64::MAX - self.store.get_fuel()?)
    }

    /// Calls a function that it exports. Where that returns nothing: 0.
    fn call_back(&mut self, name: &str, arguments: &[u32]) -> Result<u32> {
        let function = self.instance.get_func(&self.store, name).with_context(|| format!("no {name}"))?;
        let arguments: Vec<Val> = arguments.iter().map(|argument| Val::I32(argument.cast_signed())).collect();
        let mut results = vec![Val::I32(0); function.ty(&self.store).results().len()];
        function.call(&mut self.store, &arguments, &mut results).with_context(|| name.to_owned())?;
        let result = results.first().map_or(Ok(0), as_u64)?;
        Ok(u32::try_from(result)?)
    }
}

fn as_u64(value: &Val) -> Result<u64> {
    match value {
        Val::I32(value) => Ok(value.cast_unsigned().into()),
        Val::I64(value) => Ok(value.cast_unsigned()),
        other => bail!("the ABI has integers only: {other:?}"),
    }
}
