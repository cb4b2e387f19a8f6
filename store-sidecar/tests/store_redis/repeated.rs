//! A connection that is lost with the answer to a step: on a Cluster the step is sent again, and must be answered as the
//! first time.

use std::sync::{Arc, Mutex};

use serde_json::json;
use session_gate_protocol::{Algorithm, ETag, LeaseAsk, Quota};
use store_sidecar::store::conformance::op;
use store_sidecar::store::redis::{RedisStore, all_scripts};
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{Store as _, Termination, Update};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{USUAL, connect_patiently, connection, new_session, poll_until};

/// Stands between the sidecar and a server, and loses the answer to one step.
struct Proxy {
    port: u16,
    /// The hash of the script whose answer is lost next.
    loses: Arc<Mutex<Option<&'static str>>>,
}

impl Proxy {
    async fn start() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self { port, loses: Arc::default() }, listener)
    }

    fn serve(&self, listener: TcpListener, server: u16) {
        let loses = Arc::clone(&self.loses);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let loses = Arc::clone(&loses);
                tokio::spawn(async move { drop(pass_on(client, server, &loses).await) });
            }
        });
    }

    /// Loses the answer to the next call of that script.
    fn lose(&self, name: &str) {
        let (_, hash) = all_scripts().into_iter().find(|(script, _)| *script == name).unwrap();
        *self.loses.lock().unwrap() = Some(hash);
    }

    fn has_lost(&self) -> bool {
        self.loses.lock().unwrap().is_none()
    }
}

async fn pass_on(mut client: TcpStream, server: u16, loses: &Mutex<Option<&'static str>>) -> std::io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let (mut asked, mut answered) = ([0; 64 * 1024], [0; 64 * 1024]);
    let mut is_lost = false;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let bytes = &asked[..read?];
                if bytes.is_empty() {
                    return Ok(());
                }
                is_lost |= is_to_be_lost(bytes, loses);
                server.write_all(bytes).await?;
            }
            read = server.read(&mut answered) => {
                let bytes = &answered[..read?];
                // The step has been done.
                if is_lost || bytes.is_empty() {
                    return Ok(());
                }
                client.write_all(bytes).await?;
            }
        }
    }
}

/// Whether it calls the script whose answer is to be lost: once.
fn is_to_be_lost(bytes: &[u8], loses: &Mutex<Option<&'static str>>) -> bool {
    let mut loses = loses.lock().unwrap();
    let text = String::from_utf8_lossy(bytes);
    loses.take_if(|hash| text.contains(*hash)).is_some()
}

/// A Cluster of one node that is reached through the proxy.
async fn cluster() -> (Proxy, RedisServer, RedisStore) {
    let (proxy, listener) = Proxy::start().await;
    let announced = format!("cluster-announce-port {}", proxy.port);
    let server =
        RedisServer::start_with(&["cluster-enabled yes", "cluster-announce-ip 127.0.0.1", &announced]).unwrap();
    proxy.serve(listener, server.port());
    let mut direct = connection(&server.url()).await;
    redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(0).arg(16383).exec_async(&mut direct).await.unwrap();
    let info = async || redis::cmd("CLUSTER").arg("INFO").query_async::<String>(&mut direct.clone()).await.unwrap();
    poll_until(info, |info| info.contains("cluster_state:ok")).await;
    let store = connect_patiently(&format!("redis-cluster://127.0.0.1:{}", proxy.port), USUAL).await;
    // All scripts are known from now on, so that each is one call.
    for (name, _) in all_scripts() {
        let code = store_sidecar::store::redis::script_code(name);
        redis::cmd("SCRIPT").arg("LOAD").arg(code).exec_async(&mut direct).await.unwrap();
    }
    (proxy, server, store)
}

#[tokio::test]
async fn a_session_is_created_once() {
    let (proxy, _server, store) = cluster().await;
    proxy.lose("CREATE");
    let session = store.create_session(new_session("alice", 1), op()).await.unwrap();
    assert!(proxy.has_lost());
    assert_eq!(store.user_sessions(&session.user_id).await.unwrap(), [session]);
}

#[tokio::test]
async fn a_session_is_changed_once_and_its_caller_is_told_so() {
    let (proxy, _server, store) = cluster().await;
    let session = store.create_session(new_session("alice", 1), op()).await.unwrap();
    let changes = [json!({"metadata": {"a": 1}}), json!({"status": "suspended"}), json!({"status": "terminated"})];
    for (version, change) in (1..).zip(changes) {
        proxy.lose("UPDATE");
        let change = serde_json::from_value(change).unwrap();
        let updated = store.update_session(&session.session_id, &change, Some(ETag(version)), op()).await.unwrap();
        assert!(proxy.has_lost());
        assert!(matches!(&updated, Update::Applied(session) if session.version == version + 1), "{updated:?}");
    }
}

#[tokio::test]
async fn what_ends_is_said_to_have_ended_by_that() {
    let (proxy, _server, store) = cluster().await;
    let mut sessions = Vec::new();
    for number in 1..=3 {
        sessions.push(store.create_session(new_session("alice", number), op()).await.unwrap().session_id);
    }
    proxy.lose("TERMINATE");
    assert_eq!(store.terminate_session(&sessions[0], op()).await.unwrap(), Termination::Ended);
    assert!(proxy.has_lost());
    let alice = "alice".parse().unwrap();
    proxy.lose("BEGIN_CUT_OFF");
    let before = store.begin_cut_off(&alice, None, 0).await.unwrap().before;
    assert!(proxy.has_lost());
    proxy.lose("FINISH_CUT_OFF");
    store.finish_cut_off(&alice, before, None).await.unwrap();
    assert!(proxy.has_lost());
    assert_eq!(store.user_sessions(&alice).await.unwrap(), []);
}

#[tokio::test]
async fn a_lease_is_taken_once_and_what_is_owed_counts_once() {
    let (proxy, _server, store) = cluster().await;
    let quotas = vec![Quota { algorithm: Algorithm::FixedWindow, requests: 10, window_ms: 86_400_000, burst: None }];
    let ask = |lease, need| LeaseAsk {
        counter: "AbCdEfGhIjKlMnOp".parse().unwrap(),
        quotas: quotas.clone(),
        settle: Vec::new(),
        owed: 3,
        lease,
        kept: 0,
        need,
        want: need,
    };
    for (ask, granted, remaining) in [(ask(1, 2), 2, 5), (ask(2, 0), 0, 2)] {
        proxy.lose("LEASE");
        let lease = store.lease("w", &ask).await.unwrap().lease;
        assert!(proxy.has_lost());
        assert_eq!((lease.granted, lease.quotas[0].remaining), (granted, remaining));
    }
}

#[tokio::test]
async fn what_is_the_same_twice_as_once_succeeds() {
    let (proxy, _server, store) = cluster().await;
    let session = store.create_session(new_session("alice", 1), op()).await.unwrap();
    proxy.lose("REVOKE");
    store.revoke_token(&session.user_id, &"t".parse().unwrap(), session.expires_at).await.unwrap();
    assert!(proxy.has_lost());
    let claims = json!({
        "iss": "i", "sub": "alice", "aud": "a", "exp": session.expires_at, "nbf": 1, "iat": 1, "jti": "t",
    });
    let claims = serde_json::from_value(claims).unwrap();
    proxy.lose("PUT_OPAQUE");
    store.put_opaque(&session.session_id.tag(), "hash", &claims, session.expires_at).await.unwrap();
    assert!(proxy.has_lost());
    assert_eq!(store.opaque(&session.session_id.tag(), "hash").await.unwrap(), Some(claims));
}
