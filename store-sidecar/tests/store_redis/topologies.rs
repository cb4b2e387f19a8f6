//! More than one Redis: a Cluster, Sentinel; and TLS.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures_util::StreamExt as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use session_gate_protocol::{CheckVerdict, SessionData};
use store_sidecar::rng::OsRandom;
use store_sidecar::store::conformance::Harness;
use store_sidecar::store::redis::{Eviction, RedisOptions, RedisStore};
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{Store as _, StoreErrorKind, StoreSettings, Termination};

use store_sidecar::store::conformance::op;

use crate::harness::{
    PATIENCE, USUAL, check, connect, connect_patiently, connection, is_away, new_session, poll_until, shift,
};

/// A real Cluster.
struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Three primaries that share the slots.
    async fn start() -> Self {
        let settings = ["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no"];
        let cluster = Self { nodes: (0..3).map(|_| RedisServer::start_with(&settings).unwrap()).collect() };
        let first = cluster.nodes[0].port();
        for (node, slots) in cluster.nodes.iter().zip([0..5461_u16, 5461..10922, 10922..16384]) {
            let mut connection = connection(&node.url()).await;
            redis::cmd("CLUSTER")
                .arg("ADDSLOTS")
                .arg(slots.collect::<Vec<_>>())
                .exec_async(&mut connection)
                .await
                .unwrap();
            meet(&node.url(), first).await;
        }
        for node in &cluster.nodes {
            let info = async || cluster_info(&node.url()).await;
            poll_until(info, |info| {
                info.contains("cluster_state:ok")
                    && info.contains("cluster_slots_ok:16384")
                    && info.contains("cluster_known_nodes:3")
            })
            .await;
        }
        cluster
    }

    /// A replica of the first node, in step with it.
    async fn add_replica(&mut self) {
        let settings = ["cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no"];
        let replica = RedisServer::start_with(&settings).unwrap();
        meet(&replica.url(), self.nodes[0].port()).await;
        let mut first = connection(&self.nodes[0].url()).await;
        let id: String = redis::cmd("CLUSTER").arg("MYID").query_async(&mut first).await.unwrap();
        let follow = async || {
            let mut connection = connection(&replica.url()).await;
            let mut follow = redis::cmd("CLUSTER");
            follow.arg("REPLICATE").arg(&id).exec_async(&mut connection).await.is_ok()
        };
        poll_until(follow, |follows| *follows).await;
        self.nodes.push(replica);
        // Those who do not know it yet would not vote for it.
        for node in &self.nodes {
            let known = async || {
                let mut connection = connection(&node.url()).await;
                redis::cmd("CLUSTER").arg("NODES").query_async::<String>(&mut connection).await.unwrap()
            };
            poll_until(known, |nodes| nodes.contains("slave")).await;
        }
    }

    fn url(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
        format!("redis-cluster://{}", addresses.join(","))
    }
}

async fn meet(url: &str, port: u16) {
    let mut connection = connection(url).await;
    redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(port).exec_async(&mut connection).await.unwrap();
}

async fn cluster_info(url: &str) -> String {
    redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection(url).await).await.unwrap()
}

/// Sessions of so many users that each node has some.
async fn spread(store: &RedisStore) -> Vec<SessionData> {
    let mut sessions = Vec::new();
    for user in 0..30 {
        // Anew on a busy machine, with another id: the one before may have been stored.
        let mut numbers = 0..;
        let create = || store.create_session(new_session(&format!("user-{user}"), numbers.next().unwrap()), op());
        sessions.push(poll_until(create, Result::is_ok).await.unwrap());
    }
    sessions
}

/// The cluster that all promises are tried on in turn, while the test holds it.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

struct OnCluster {
    cluster: Arc<Cluster>,
    store: RedisStore,
}

impl Harness for OnCluster {
    type Store = RedisStore;

    async fn start(settings: StoreSettings) -> Self {
        let cluster = SHARED.lock().unwrap().upgrade().unwrap();
        for node in &cluster.nodes {
            redis::cmd("FLUSHALL").exec_async(&mut connection(&node.url()).await).await.unwrap();
        }
        // With all that names keys.
        let options = RedisOptions::parse(&cluster.url(), None).unwrap().step_timeout(PATIENCE);
        let options = options.key_prefix("staging:".to_owned()).issuer("gate".to_owned());
        let store = RedisStore::connect(options, settings, Arc::new(OsRandom)).await.unwrap();
        Self { cluster, store }
    }

    fn store(&self) -> &RedisStore {
        &self.store
    }

    async fn pass(&self, duration: Duration) {
        for node in &self.cluster.nodes {
            shift(&mut connection(&node.url()).await, duration).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_keeps_every_promise() {
    let cluster = Arc::new(Cluster::start().await);
    *SHARED.lock().unwrap() = Arc::downgrade(&cluster);
    let mut monitors = Vec::new();
    for node in &cluster.nodes {
        monitors.push(Monitor::start(&node.url()).await);
    }
    store_sidecar::store_conformance!(in_turn: OnCluster);

    let mut steps = Vec::new();
    for monitor in monitors {
        steps.extend(monitor.stop());
    }
    let mut first = connection(&cluster.nodes[0].url()).await;
    let mut seen = HashSet::new();
    for Step { script, keys, used } in steps.into_iter().filter(|step| !step.script.is_empty()) {
        // What is not named may have moved, or may not be there for whoever routes by names.
        let beyond: Vec<_> = used.difference(&keys).collect();
        assert!(beyond.is_empty(), "a step uses keys that the call does not name: {beyond:?} beside {keys:?}");
        assert!(keys.iter().all(|key| key.starts_with("staging:sg1:{")), "{keys:?}");
        let mut slots = HashSet::new();
        for key in &keys {
            let slot: u16 = redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(&mut first).await.unwrap();
            slots.insert(slot);
        }
        assert_eq!(slots.len(), 1, "the keys of one step are in one slot: {keys:?}");
        seen.insert(script);
    }
    for (name, hash) in store_sidecar::store::redis::all_scripts() {
        assert!(seen.contains(hash), "no promise has run {name}");
    }
}

/// A script that a node was asked to run: its hash, the keys that the call named, and those that it has used.
#[derive(Debug, Default, Clone)]
struct Step {
    script: String,
    keys: BTreeSet<String>,
    used: BTreeSet<String>,
}

/// What the scripts did that a node was asked to run, in their order.
struct Monitor {
    steps: Arc<Mutex<Vec<Step>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Monitor {
    async fn start(url: &str) -> Self {
        let monitor = redis::Client::open(url).unwrap().get_async_monitor().await.unwrap();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&steps);
        let task = tokio::spawn(async move {
            let mut lines = monitor.into_on_message::<String>();
            while let Some(line) = lines.next().await {
                note(&line, &mut seen.lock().unwrap());
            }
        });
        Self { steps, task }
    }

    fn stop(self) -> Vec<Step> {
        self.task.abort();
        std::mem::take(&mut *self.steps.lock().unwrap())
    }
}

/// Notes what a line of MONITOR says of a step: `… "EVALSHA" "<hash>" "<number of keys>" "<key>" …`, and then of each
/// command that the script runs `<time> [<database> lua] "<command>" "<key>" …`. No key has a character that would be
/// quoted. One script runs at a time.
fn note(line: &str, steps: &mut Vec<Step>) {
    let mut texts = line.split('"').skip(1).step_by(2).map(str::to_owned);
    let Some(command) = texts.next() else { return };
    if line.split_whitespace().nth(2) == Some("lua]") {
        let key = texts.find(|text| text.contains("sg1:{"));
        if let Some(step) = steps.last_mut() {
            step.used.extend(key);
        }
    } else if command.eq_ignore_ascii_case("evalsha") {
        let script = texts.next().unwrap();
        let count: usize = texts.next().unwrap().parse().unwrap();
        steps.push(Step { script, keys: texts.take(count).collect(), used: BTreeSet::new() });
    } else {
        // What follows is of a script of the test's own, if it is of any.
        steps.push(Step::default());
    }
}

#[tokio::test]
async fn a_clusters_nodes_are_told_of_as_one() {
    let cluster = Cluster::start().await;
    let store = connect_patiently(&cluster.url(), USUAL).await;
    let report = store.inspect().await.unwrap();
    assert_eq!((report.eviction, report.append_only_file), (Eviction::Never, Some(false)));
    let one: u64 = report.used_memory.unwrap() / 3;
    assert!(store.health().await.unwrap().memory_bytes > Some(one * 2), "the sum of all nodes");
}

/// However many ask for those of the node that hangs.
#[tokio::test]
async fn a_node_that_hangs_costs_the_users_of_other_nodes_nothing() {
    let cluster = Cluster::start().await;
    let store = Arc::new(connect(&cluster.url(), USUAL).await);
    let sessions = spread(&store).await;
    cluster.nodes[0].pause().unwrap();
    let is_served = async |session: &SessionData| match check(&store, session).await {
        Ok(verdict) => {
            assert_eq!(verdict, CheckVerdict::Live);
            true
        }
        Err(error) => {
            assert!(is_away(&error), "{error:?}");
            false
        }
    };
    let mut served = Vec::new();
    for session in &sessions {
        served.push(is_served(session).await);
    }
    let hung: Vec<_> =
        sessions.iter().zip(&served).filter(|(_, served)| !**served).map(|(one, _)| one.clone()).collect();
    let others: Vec<_> = sessions.iter().zip(&served).filter(|(_, served)| **served).map(|(one, _)| one).collect();
    assert!(!hung.is_empty() && !others.is_empty());
    let asking = hung.into_iter().map(|session| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                drop(check(&store, &session).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    let (start, mut failed, mut asked) = (tokio::time::Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(3) {
        for session in &others {
            asked += 1;
            failed += usize::from(!is_served(session).await);
        }
    }
    asking.iter().for_each(tokio::task::JoinHandle::abort);
    // None, but for a machine that stood still for as long as a step may take.
    assert!(failed * 100 < asked, "{failed} of {asked}");
    cluster.nodes[0].resume().unwrap();
    for session in &sessions {
        poll_until(async || check(&store, session).await.is_ok(), |live| *live).await;
    }
}

/// While a slot moves, its keys are on either node. A step on several keys is refused until all of them are on one, those
/// that do not exist included; nothing is taken for missing meanwhile, and afterwards all goes on.
#[tokio::test]
async fn a_slot_that_moves_is_followed() {
    let cluster = Cluster::start().await;
    let store = connect_patiently(&cluster.url(), USUAL).await;
    let sessions = [1, 2].map(|number| new_session("alice", number));
    let mut stored = Vec::new();
    for new in sessions {
        stored.push(store.create_session(new, op()).await.unwrap());
    }
    let mut nodes = Vec::new();
    for node in &cluster.nodes {
        let mut connection = connection(&node.url()).await;
        let id: String = redis::cmd("CLUSTER").arg("MYID").query_async(&mut connection).await.unwrap();
        nodes.push((connection, id, node.port()));
    }
    let key = |session: &SessionData| format!("sg1:{{{}}}:sess:{}", session.session_id.tag(), session.session_id);
    let slot: u16 =
        redis::cmd("CLUSTER").arg("KEYSLOT").arg(key(&stored[0])).query_async(&mut nodes[0].0).await.unwrap();
    let from = usize::from(slot / 5461).min(2);
    let to = (from + 1) % 3;
    let (from_id, to_id, to_port) = (nodes[from].1.clone(), nodes[to].1.clone(), nodes[to].2);
    let set_slot = |how: &str, id: &str| {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SETSLOT").arg(slot).arg(how).arg(id);
        command
    };
    set_slot("IMPORTING", &from_id).exec_async(&mut nodes[to].0).await.unwrap();
    set_slot("MIGRATING", &to_id).exec_async(&mut nodes[from].0).await.unwrap();
    let move_key = async |connection: &mut redis::aio::MultiplexedConnection, key: &str| {
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(to_port).arg(key).arg(0).arg(5_000).exec_async(connection).await.unwrap();
    };
    move_key(&mut nodes[from].0, &key(&stored[0])).await;
    for session in &stored {
        match store.session(&session.session_id).await {
            Ok(found) => assert_eq!(found.as_ref(), Some(session), "wherever it is"),
            Err(error) => assert_eq!(error.kind(), StoreErrorKind::Unavailable),
        }
    }
    let rest: Vec<String> =
        redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(100).query_async(&mut nodes[from].0).await.unwrap();
    for key in rest {
        move_key(&mut nodes[from].0, &key).await;
    }
    for node in [to, from] {
        set_slot("NODE", &to_id).exec_async(&mut nodes[node].0).await.unwrap();
    }
    assert_eq!(store.user_sessions(&stored[0].user_id).await.unwrap().len(), 2, "all are on the other node");
    assert_eq!(check(&store, &stored[1]).await.unwrap(), CheckVerdict::Live);
    assert_eq!(store.terminate_session(&stored[0].session_id, op()).await.unwrap(), Termination::Ended);
}

/// The old primary keeps its connections and never says that it has been replaced.
#[tokio::test]
async fn a_replica_that_takes_over_from_a_node_that_hangs_is_found() {
    let mut cluster = Cluster::start().await;
    cluster.add_replica().await;
    let store = connect(&cluster.url(), USUAL).await;
    let sessions = spread(&store).await;
    let caught_up = async || {
        let mut first = connection(&cluster.nodes[0].url()).await;
        let replicas: u64 = redis::cmd("WAIT").arg(1).arg(100).query_async(&mut first).await.unwrap();
        replicas
    };
    poll_until(caught_up, |replicas| *replicas == 1).await;
    cluster.nodes[0].pause().unwrap();
    for session in &sessions {
        let live = async || matches!(check(&store, session).await, Ok(CheckVerdict::Live));
        poll_until(live, |live| *live).await;
    }
}

#[tokio::test]
async fn sentinels_name_the_master_before_and_after_a_failover() {
    let mut master = RedisServer::start().unwrap();
    let replica = RedisServer::start_with(&[&format!("replicaof 127.0.0.1 {}", master.port())]).unwrap();
    let sentinel = RedisServer::start_sentinel(&[
        &format!("sentinel monitor main 127.0.0.1 {} 1", master.port()),
        "sentinel down-after-milliseconds main 500",
        "sentinel failover-timeout main 2000",
    ])
    .unwrap();
    // One of them is away, which must not matter.
    let away = RedisServer::start().unwrap().port();
    let url = format!("redis-sentinel://127.0.0.1:{away},127.0.0.1:{}/main", sentinel.port());
    let store = connect_patiently(&url, USUAL).await;
    let session = store.create_session(new_session("alice", 1), op()).await.unwrap();
    assert_eq!(check(&store, &session).await.unwrap(), CheckVerdict::Live);

    let known = async || {
        let mut connection = connection(&sentinel.url()).await;
        let info: String = redis::cmd("INFO").arg("sentinel").query_async(&mut connection).await.unwrap();
        info
    };
    poll_until(known, |info| info.contains("slaves=1")).await;
    let has_it = async || {
        let mut connection = connection(&replica.url()).await;
        // It says so while it still loads what the master sent.
        redis::cmd("DBSIZE").query_async::<u64>(&mut connection).await.unwrap_or(0)
    };
    poll_until(has_it, |keys| *keys == 3).await;

    master.stop().unwrap();
    assert!(is_away(&check(&store, &session).await.unwrap_err()));
    let live = async || matches!(check(&store, &session).await, Ok(CheckVerdict::Live));
    poll_until(live, |live| *live).await;
    let written = async || store.terminate_session(&session.session_id, op()).await.is_ok();
    poll_until(written, |written| *written).await;
}

/// Ends TLS on a port of its own, and hands what is in it on to the server.
async fn serve_tls(certificate: String, key: String, server: u16) -> u16 {
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = versions.with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", server)).await?;
                // A client that does not trust the certificate hangs up here.
                let mut encrypted = acceptor.accept(stream).await?;
                tokio::io::copy_bidirectional(&mut encrypted, &mut plain).await
            });
        }
    });
    port
}

#[tokio::test]
async fn tls_is_used_and_the_server_must_prove_itself() {
    let authority = authority();
    let (certificate, key) = certificate(&authority);
    // Some servers, PyPI's Valkey for one, are built without TLS: it is ended in front of any.
    let server = RedisServer::start().unwrap();
    let port = serve_tls(certificate, key, server.port()).await;
    let url = format!("rediss://localhost:{port}");

    let options = RedisOptions::parse(&url, None).unwrap().step_timeout(PATIENCE);
    let trusted = options.clone().ca_certificate(authority.pem().into_bytes());
    let store = RedisStore::connect(trusted, USUAL, Arc::new(OsRandom)).await.unwrap();
    store.create_session(new_session("alice", 1), op()).await.unwrap();

    let other = self::authority();
    let untrusted = options.ca_certificate(other.pem().into_bytes());
    let store = RedisStore::connect(untrusted, USUAL, Arc::new(OsRandom)).await.unwrap();
    assert!(is_away(&store.health().await.unwrap_err()));
}

struct Authority {
    pem: String,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn pem(&self) -> String {
        self.pem.clone()
    }
}

fn authority() -> Authority {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = parameters.self_signed(&key).unwrap().pem();
    Authority { pem, issuer: rcgen::Issuer::new(parameters, key) }
}

fn certificate(authority: &Authority) -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    (parameters.signed_by(&key, &authority.issuer).unwrap().pem(), key.serialize_pem())
}
