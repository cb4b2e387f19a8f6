//! A client over HTTP/1.1 and HTTP/2 (prior knowledge), one connection a request.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::poll::PATIENCE;
use crate::tls::Certificate;

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    V1,
    /// HTTP/2 without TLS.
    V2,
}

impl Http {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Call {
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A request with that method.
    pub fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// `GET`.
    pub fn get(path: &str) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST`.
    pub fn post(path: &str) -> Self {
        Self::new(Method::POST, path)
    }

    /// Adds `Authorization: Bearer`. A token that cannot be a header's value is left out.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// Adds a header, beside one of the same name. What cannot be a header is left out: see
    /// [`crate::raw`] for that.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_ref())) {
            self.headers.append(name, value);
        }
        self
    }

    /// Sets a JSON body.
    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body(body.to_string())
    }

    /// Sets a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it, and reads the whole reply.
    ///
    /// # Errors
    /// Where there is no whole reply in time.
    pub async fn send(&self, address: SocketAddr, http: Http) -> Result<Reply> {
        let what = || format!("{} {} to {address}", self.method, self.path);
        timeout(PATIENCE, self.exchange(address, http)).await.with_context(what)?.with_context(what)
    }

    /// The same by HTTP/1.1 with TLS, to who shows that certificate.
    ///
    /// # Errors
    /// Where there is no whole reply in time.
    pub async fn send_with_tls(&self, address: SocketAddr, certificate: &Certificate) -> Result<Reply> {
        let what = || format!("{} {} to {address} with TLS", self.method, self.path);
        let reply = async { self.exchange_by_http1(certificate.connect(address).await?, address).await };
        timeout(PATIENCE, reply).await.with_context(what)?.with_context(what)
    }

    async fn exchange_by_http1<S>(&self, stream: S, address: SocketAddr) -> Result<Reply>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = self.request(self.path.clone(), address)?;
        let reply = async { Reply::read(sender.send_request(request).await?).await };
        drive(connection, reply).await
    }

    async fn exchange(&self, address: SocketAddr, http: Http) -> Result<Reply> {
        let stream = TcpStream::connect(address).await?;
        match http {
            Http::V1 => self.exchange_by_http1(stream, address).await,
            Http::V2 => {
                let executor = TokioExecutor::new();
                let (mut sender, connection) =
                    hyper::client::conn::http2::handshake(executor, TokioIo::new(stream)).await?;
                let request = self.request(format!("http://{address}{}", self.path), address)?;
                let reply = async { Reply::read(sender.send_request(request).await?).await };
                drive(connection, reply).await
            }
        }
    }

    fn request(&self, uri: String, address: SocketAddr) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri.parse()?;
        *request.headers_mut() = self.headers.clone();
        if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, HeaderValue::from_str(&address.to_string())?);
        }
        Ok(request)
    }
}

/// Runs the connection until the reply is there.
async fn drive<C>(connection: C, reply: impl Future<Output = Result<Reply>>) -> Result<Reply>
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut reply = std::pin::pin!(reply);
    tokio::select! {
        reply = &mut reply => return reply,
        ended = connection => ended?,
    }
    reply.await
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers.
    pub trailers: Option<HeaderMap>,
}

impl Reply {
    async fn read(response: Response<Incoming>) -> Result<Self> {
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        Ok(Self { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes(), trailers })
    }

    /// The only value of a header, as text; `None` where it is missing, repeated or no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then_some(value)?.to_str().ok()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("status {}: {:?}", self.status, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A string within the JSON body, such as `/token/token`; `None` where there is none.
    pub fn field(&self, pointer: &str) -> Option<String> {
        Some(self.json().ok()?.pointer(pointer)?.as_str()?.to_owned())
    }

    /// The stable code of a problem+json body.
    pub fn code(&self) -> Option<String> {
        self.field("/code")
    }
}
