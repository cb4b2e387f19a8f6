//! A wasm plugin that traps on demand: with it the tests show that they would see a trap of the
//! filter.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use http_body_util::channel::Channel;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wasmparser::{Parser, Payload, TypeRef};

use crate::poll::PATIENCE;
use crate::tools;

/// The smallest plugin that Envoy takes. It traps on a request with more than 20 headers, pseudo
/// headers included, and lets all others pass.
const PLUGIN: &str = r#"
(module
  (memory (export "memory") 2)
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_request_headers") (param $context i32) (param $headers i32) (param i32) (result i32)
    (if (i32.gt_u (local.get $headers) (i32.const 20)) (then (unreachable)))
    (i32.const 0)))
"#;

/// Writes the plugin into `dir`.
///
/// # Errors
/// Where it cannot be written.
pub fn write_plugin(dir: &Path) -> Result<PathBuf> {
    let path = dir.join("trap.wasm");
    std::fs::write(&path, wat::parse_str(PLUGIN)?)?;
    Ok(path)
}

/// Writes a copy of the filter into `dir` that traps when a request has trailers: all else is the same,
/// so that a test sees what the filter itself is like after a trap.
///
/// # Errors
/// Where there is no filter, or it has no such callback.
pub fn write_trapping_filter(dir: &Path) -> Result<PathBuf> {
    let mut module = std::fs::read(tools::filter()?)?;
    let body = body_of_export(&module, "proxy_on_request_trailers")?;
    let code = module.get_mut(body).context("the function's code lies in the module")?;
    let (end, rest) = code.split_last_mut().context("a function has code")?;
    rest.fill(NOP);
    *rest.first_mut().context("it does something")? = UNREACHABLE;
    *end = END;
    let path = dir.join("trapping_filter.wasm");
    std::fs::write(&path, module)?;
    Ok(path)
}

/// Sends a request whose trailers bring down the VM of a [trapping filter](write_trapping_filter), that of
/// the worker which accepts its connection. What becomes of the request does not matter.
pub async fn send_trailers(address: SocketAddr, path: &str, token: &str) {
    let exchange = async {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
        let (mut writer, body) = Channel::<Bytes, Infallible>::new(2);
        writer.send_data(Bytes::from_static(b"body")).await?;
        writer.send_trailers(trailers).await?;
        drop(writer);
        let uri = format!("http://{address}{path}");
        let request = Request::get(uri).header(AUTHORIZATION, format!("Bearer {token}")).body(body)?;
        sender.send_request(request).await?;
        anyhow::Ok(())
    };
    // It fails one way or another.
    timeout(PATIENCE, exchange).await.ok();
}

const UNREACHABLE: u8 = 0x00;
const NOP: u8 = 0x01;
const END: u8 = 0x0b;

/// Where the code of an exported function stands, without its local variables.
fn body_of_export(module: &[u8], name: &str) -> Result<Range<usize>> {
    let (mut imported, mut exported, mut bodies) = (0, None, Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export?;
                    exported = exported.or((export.name == name).then_some(export.index));
                }
            }
            Payload::CodeSectionEntry(body) => {
                let start = body.get_operators_reader()?.original_position();
                bodies.push(start..body.range().end);
            }
            _ => {}
        }
    }
    let function = exported.and_then(|index| index.checked_sub(imported)).context("no such export")?;
    let body = bodies.into_iter().nth(usize::try_from(function)?).context("no such function")?;
    Ok(usize::try_from(body.start)?..usize::try_from(body.end)?)
}
