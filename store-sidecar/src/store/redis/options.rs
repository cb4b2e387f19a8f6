//! Where Redis is, read from a URL. What is wrong with a URL is told without repeating any of it,
//! since it may hold a password.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
use thiserror::Error;

use super::timing::STEP_TIMEOUT;

/// The port of a Sentinel that names none.
const SENTINEL_PORT: u16 = 26379;

/// Where Redis is and how to reach it. `Debug` shows addresses and no credential.
#[derive(Clone)]
pub struct RedisOptions {
    pub(super) target: Target,
    pub(super) allow_eviction: bool,
    pub(super) ca_certificate: Option<Vec<u8>>,
    pub(super) step_timeout: Duration,
    pub(super) key_prefix: String,
    pub(super) issuer: Option<String>,
}

/// Longest key prefix, in characters: it stands in each key.
pub const MAX_KEY_PREFIX_CHARS: usize = 32;

#[derive(Clone)]
pub(super) enum Target {
    /// One server.
    Single(ConnectionInfo),
    /// Some nodes of a Cluster, from which it learns the others.
    Cluster(Vec<ConnectionInfo>),
    /// The master that these Sentinels name.
    Sentinel {
        sentinels: Vec<ConnectionInfo>,
        master: String,
        /// How to log in to the master.
        login: RedisConnectionInfo,
    },
}

/// Why a URL cannot be used. Says what is allowed, and nothing of what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RedisUrlError {
    /// It is not a URL of a form that is supported.
    #[error(
        "must be a URL such as redis://host:6379/0, rediss://host:6379/0 (TLS), unix:///path/to/socket, \
         redis-cluster://host:6379,host:6379, rediss-cluster://host:6379,host:6379 or \
         redis-sentinel://host:26379,host:26379/master-name, with user:password@ before the host where needed, \
         and special characters in these percent-encoded"
    )]
    Form,
    /// There is a password in the URL and one beside it.
    #[error("must have no password in the URL where the password is given separately")]
    TwoPasswords,
}

impl RedisOptions {
    /// Reads a URL. A `password` given separately is used as it is, not percent-encoded; an empty one
    /// is none.
    ///
    /// # Errors
    /// [`RedisUrlError`], which holds nothing of the URL.
    pub fn parse(url: &str, password: Option<&str>) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = url.split_once("://").ok_or(RedisUrlError::Form)?;
        let password = password.filter(|password| !password.is_empty());
        let target = match scheme {
            "redis" | "rediss" | "unix" => Target::Single(node(url, password)?),
            "redis-cluster" => cluster("redis", rest, password)?,
            "rediss-cluster" => cluster("rediss", rest, password)?,
            "redis-sentinel" => sentinel(rest, password)?,
            _ => return Err(RedisUrlError::Form),
        };
        Ok(Self {
            target,
            allow_eviction: false,
            ca_certificate: None,
            step_timeout: STEP_TIMEOUT,
            key_prefix: String::new(),
            issuer: None,
        })
    }

    /// Whether that can stand before each key: at most [`MAX_KEY_PREFIX_CHARS`] letters, digits and `. _ : -`. A brace would
    /// decide on the Cluster slot.
    pub fn is_key_prefix(text: &str) -> bool {
        let may = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
        text.len() <= MAX_KEY_PREFIX_CHARS && text.bytes().all(may)
    }

    /// What stands before each key, so that several services can share a Redis; see [`RedisOptions::is_key_prefix`].
    #[must_use]
    pub fn key_prefix(self, key_prefix: String) -> Self {
        Self { key_prefix, ..self }
    }

    /// The issuer of the tokens: a Redis that has the sessions of another one is refused.
    #[must_use]
    pub fn issuer(self, issuer: String) -> Self {
        Self { issuer: Some(issuer), ..self }
    }

    /// Whether to start even where Redis may evict keys. An evicted revocation lets a revoked token
    /// pass again.
    #[must_use]
    pub fn allow_eviction(self, allow_eviction: bool) -> Self {
        Self { allow_eviction, ..self }
    }

    /// Trust only servers whose certificate this authority signed (PEM). Without it, the system's
    /// authorities are trusted, or those in the file that `SSL_CERT_FILE` names.
    #[must_use]
    pub fn ca_certificate(self, pem: Vec<u8>) -> Self {
        Self { ca_certificate: Some(pem), ..self }
    }

    /// What a step may cost its caller, instead of [`STEP_TIMEOUT`]: more for tests on a busy machine.
    #[must_use]
    pub fn step_timeout(self, step_timeout: Duration) -> Self {
        Self { step_timeout, ..self }
    }

    /// Whether it is a Cluster, where keys live on several nodes.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// Whether connections are encrypted.
    pub fn is_tls(&self) -> bool {
        let nodes = match &self.target {
            Target::Single(node) => std::slice::from_ref(node),
            Target::Cluster(nodes) => nodes,
            Target::Sentinel { sentinels, .. } => sentinels,
        };
        nodes.iter().any(|node| matches!(node.addr(), ConnectionAddr::TcpTls { .. }))
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named here, so that a new one does not compile until someone decides.
        let Self { target, allow_eviction, ca_certificate, step_timeout, key_prefix, issuer } = self;
        f.debug_struct("RedisOptions")
            .field("target", target)
            .field("allow_eviction", allow_eviction)
            .field("ca_certificate", &ca_certificate.is_some())
            .field("step_timeout", step_timeout)
            .field("key_prefix", key_prefix)
            .field("issuer", issuer)
            .finish()
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = |nodes: &[ConnectionInfo]| nodes.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>();
        match self {
            Self::Single(node) => f.debug_tuple("Single").field(&node.addr().to_string()).finish(),
            Self::Cluster(nodes) => f.debug_tuple("Cluster").field(&addresses(nodes)).finish(),
            Self::Sentinel { sentinels, master, login: _ } => {
                f.debug_tuple("Sentinel").field(&addresses(sentinels)).field(master).finish()
            }
        }
    }
}

/// One server's URL, as the Redis client reads it, less what this product does not offer.
fn node(url: &str, password: Option<&str>) -> Result<ConnectionInfo, RedisUrlError> {
    let info = url.into_connection_info().map_err(|_| RedisUrlError::Form)?;
    let is_unix = matches!(info.addr(), ConnectionAddr::Unix(_));
    // A fragment could switch off the check of certificates; a query, the protocol. Only sockets
    // have one that is of use.
    if url.contains('#') || (url.contains('?') && !is_unix) {
        return Err(RedisUrlError::Form);
    }
    let mut login = info.redis_settings().clone();
    if let Some(password) = password {
        if login.password().is_some() {
            return Err(RedisUrlError::TwoPasswords);
        }
        login = login.set_password(password);
    }
    // Small packets that wait for each other would cost a round trip.
    Ok(info.set_redis_settings(login).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

fn cluster(scheme: &str, rest: &str, password: Option<&str>) -> Result<Target, RedisUrlError> {
    let (login, nodes, path) = parts(rest);
    // A Cluster has one database.
    if !matches!(path, "" | "0") {
        return Err(RedisUrlError::Form);
    }
    let nodes = nodes.split(',').map(|address| node(&format!("{scheme}://{login}{address}"), password));
    Ok(Target::Cluster(nodes.collect::<Result<_, _>>()?))
}

fn sentinel(rest: &str, password: Option<&str>) -> Result<Target, RedisUrlError> {
    let (login, nodes, path) = parts(rest);
    let (master, database) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(RedisUrlError::Form);
    }
    // The credentials are the master's. The host stands in for one that only the Sentinels know.
    let login = node(&format!("redis://{login}master/{database}"), password)?.redis_settings().clone();
    let sentinels = nodes.split(',').map(|address| {
        let has_port = address.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = if has_port { String::new() } else { format!(":{SENTINEL_PORT}") };
        node(&format!("redis://{address}{port}"), None)
    });
    Ok(Target::Sentinel { sentinels: sentinels.collect::<Result<_, _>>()?, master: master.to_owned(), login })
}

/// Login (with its `@`, or empty), addresses and path of what stands after `://`.
fn parts(rest: &str) -> (&str, &str, &str) {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let at = authority.rfind('@').map_or(0, |at| at + 1);
    let (login, nodes) = authority.split_at_checked(at).unwrap_or(("", authority));
    (login, nodes, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_url_is_read() {
        for (url, shown) in [
            ("redis://host", r#"Single("host:6379")"#),
            ("redis://user:pw@host:1/3", r#"Single("host:1")"#),
            ("rediss://[::1]:2/0", r#"Single("::1:2")"#),
            ("unix:///run/redis.sock?db=1", r#"Single("/run/redis.sock")"#),
            ("redis-cluster://a,b:2", r#"Cluster(["a:6379", "b:2"])"#),
            ("rediss-cluster://:pw@a:1,b:2/0", r#"Cluster(["a:1", "b:2"])"#),
            ("redis-sentinel://:pw@a,b:2,[::1]/main/1", r#"Sentinel(["a:26379", "b:2", "::1:26379"], "main")"#),
        ] {
            let options = RedisOptions::parse(url, None).unwrap();
            assert_eq!(format!("{:?}", options.target), shown);
            assert_eq!(options.is_tls(), url.starts_with("rediss"), "{url}");
        }
    }

    #[test]
    fn what_is_not_offered_is_refused() {
        for url in [
            "",
            "host:6379",
            "http://host",
            "redis://",
            "redis://host/x",
            "redis://host:port",
            "redis://host?protocol=resp3",
            "rediss://host#insecure",
            "redis-cluster://",
            "redis-cluster://a,,b",
            "redis-cluster://a/1",
            "redis-cluster://a,b#insecure",
            "redis-sentinel://a",
            "redis-sentinel://a/",
            "redis-sentinel://a/main/x",
            "rediss-sentinel://a/main",
        ] {
            assert_eq!(RedisOptions::parse(url, None).unwrap_err(), RedisUrlError::Form, "{url}");
        }
    }

    #[test]
    fn a_password_is_taken_from_one_place() {
        let login = |url: &str, password| match RedisOptions::parse(url, password)?.target {
            Target::Single(node) => Ok::<_, RedisUrlError>(node.redis_settings().clone()),
            Target::Cluster(nodes) => Ok(nodes[0].redis_settings().clone()),
            Target::Sentinel { sentinels, login, .. } => {
                assert_eq!(sentinels[0].redis_settings().password(), None);
                Ok(login)
            }
        };
        for url in ["redis://u@h", "rediss://u@h/1", "redis-cluster://u@h,i", "redis-sentinel://u@h/main"] {
            assert_eq!(login(url, Some("p@%41/")).unwrap().password(), Some("p@%41/"));
            assert_eq!(login(url, Some("")).unwrap().password(), None);
            let with_password = url.replace("u@", "u:s%40cret,@");
            assert_eq!(login(&with_password, None).unwrap().password(), Some("s@cret,"));
            assert_eq!(login(&with_password, None).unwrap().username(), Some("u"));
            assert_eq!(login(&with_password, Some("other")).unwrap_err(), RedisUrlError::TwoPasswords);
        }
    }

    #[test]
    fn no_output_holds_the_password() {
        for url in ["redis://u:secret@h", "redis-cluster://u:secret@h", "redis-sentinel://u:secret@h/main"] {
            assert!(!format!("{:?}", RedisOptions::parse(url, None).unwrap()).contains("secret"));
        }
        for url in ["redis://u:secret@h/x", "redis//u:secret@h", "secret"] {
            let error = RedisOptions::parse(url, None).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"));
        }
        let options = RedisOptions::parse("redis://h", Some("secret")).unwrap();
        assert!(!format!("{options:?}").contains("secret"));
    }
}
