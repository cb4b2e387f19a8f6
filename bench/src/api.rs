//! A connection over which calls are made, one at a time.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// A connection to a sidecar's API, or to a gate.
pub struct Api {
    address: SocketAddr,
    sender: Mutex<SendRequest<Full<Bytes>>>,
}

impl Api {
    /// Connects.
    ///
    /// # Errors
    /// Where nobody listens.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (sender, connection) = http1::handshake(stream).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender: Mutex::new(sender) })
    }

    /// Sends JSON, and reads it: a status and what came, null where that is none.
    ///
    /// # Errors
    /// Where there is no answer.
    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Result<(u16, Value)> {
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        let answer = self.ask(request, body.into()).await?;
        Ok((answer.status().as_u16(), serde_json::from_slice(answer.body()).unwrap_or_default()))
    }

    /// A text that is there.
    ///
    /// # Errors
    /// Where the answer is not 200.
    pub async fn text(&self, path: &str) -> Result<String> {
        let answer = self.ask(Request::builder().uri(path), Bytes::new()).await?;
        ensure!(answer.status() == 200, "{path} was answered {}", answer.status());
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// The answer to a GET with that token.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn get_with(&self, path: &str, token: &str) -> Result<Response<Bytes>> {
        let request = Request::builder().uri(path).header(AUTHORIZATION, format!("Bearer {token}"));
        self.ask(request, Bytes::new()).await
    }

    async fn ask(&self, request: Builder, body: Bytes) -> Result<Response<Bytes>> {
        let request = request.header(HOST, self.address.to_string()).body(Full::new(body))?;
        let mut sender = self.sender.lock().await;
        sender.ready().await?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("address", &self.address).finish_non_exhaustive()
    }
}
