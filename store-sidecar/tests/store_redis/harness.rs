//! A store in a Redis of its own, for the tests of the Redis store.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use session_gate_protocol::{CheckVerdict, NewSession, OwnToken, SessionData, SessionId, UserId};
use store_sidecar::rng::OsRandom;
use store_sidecar::store::conformance::{Harness, LIFETIME, SETTINGS};
use store_sidecar::store::redis::{RedisOptions, RedisStore};
use store_sidecar::store::test_redis::RedisServer;
use store_sidecar::store::{CreateSession, Store, StoreError, StoreErrorKind, StoreSettings};

/// Lets time pass for all that is stored, by moving each moment in it, and each key's end, into the
/// past. What waiting would do in hours this does at once, and no slow machine makes a test fail.
/// A key without an end fails the test that meets it.
const SHIFT: &str = r"
local by = tonumber(ARGV[1])
-- What has no end has none later.
local function earlier(till)
  return till == '253402300799' and till or string.format('%.0f', tonumber(till) - by)
end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local ttl = redis.call('PTTL', key)
  -- Rules may stand until they are removed; the test of what is stored says when. The salt stays.
  local function is(name)
    return string.sub(key, -#name) == name
  end
  local stays = is('sg1:{feed}:rules') or is('sg1:{feed}:standing') or is('sg1:{limit}:salt') or is('sg1:{feed}:issuer')
  if ttl < 0 and not stays then
    return redis.error_reply('ERR a key never expires: ' .. key)
  end
  local kind = redis.call('TYPE', key).ok
  -- Moments in milliseconds, beside a version, a level or a total that are small.
  local function moved(number)
    return number < 1000000 and number or number - by * 1000
  end
  if string.find(key, '%}:failures$') then
    local form = string.gsub(redis.call('GET', key), '%d+', function(number)
      return string.format('%.0f', moved(tonumber(number)))
    end)
    redis.call('SET', key, form, 'KEEPTTL')
  elseif string.find(key, '%}:devices$') then
    local function all_moved(form)
      for i, value in ipairs(form) do
        form[i] = type(value) == 'table' and all_moved(value) or type(value) == 'number' and moved(value) or value
      end
      return form
    end
    redis.call('SET', key, cmsgpack.pack(all_moved(cmsgpack.unpack(redis.call('GET', key)))), 'KEEPTTL')
  elseif string.find(key, '%}:answer$') then
    -- Its key's end is the one moment that there is.
    ttl = ttl
  elseif is('sg1:{feed}:workers') then
    local records = redis.call('HGETALL', key)
    for i = 1, #records, 2 do
      local written, rest = string.match(records[i + 1], '^(%d+)( .*)$')
      redis.call('HSET', key, records[i], string.format('%.0f', tonumber(written) - by * 1000) .. rest)
    end
  elseif kind == 'hash' then
    for _, field in ipairs({'created_at', 'last_activity', 'expires_at', 'since'}) do
      if redis.call('HEXISTS', key, field) == 1 then
        redis.call('HINCRBY', key, field, -by)
      end
    end
  elseif kind == 'stream' then
    -- The places stay, so that readers find theirs.
    local entries = redis.call('XRANGE', key, '-', '+')
    redis.call('DEL', key)
    for _, entry in ipairs(entries) do
      local f = entry[2]
      f[2] = earlier(f[2])
      redis.call('XADD', key, entry[1], unpack(f))
    end
  elseif string.find(key, ':counter:', 1, true) then
    local form = cmsgpack.unpack(redis.call('GET', key))
    form[2] = form[2] - by * 1000
    for i = 3, #form[3], 3 do
      form[3][i] = form[3][i] - by * 1000
    end
    for _, f in ipairs(form[4]) do
      f[4] = f[4] - by * 1000
      -- Of a fixed window the tests let no end pass.
      if f[1] == 's' and f[5] then
        f[5] = f[5] - math.floor(by * 1000 / math.ceil(f[2] / 64))
      end
    end
    redis.call('SET', key, cmsgpack.pack(form), 'KEEPTTL')
  elseif kind == 'zset' and string.find(key, '{limit.', 1, true) then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -by * 1000, member)
    end
  elseif kind == 'zset' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      redis.call('ZINCRBY', key, -by, member)
    end
  elseif not stays then
    redis.call('DECRBY', key, by)
  end
  if ttl >= 0 then
    redis.call('PEXPIRE', key, ttl - by * 1000)
  end
end
return redis.status_reply('OK')
";

/// A store and the server that it uses.
pub struct Redis {
    pub store: RedisStore,
    pub server: RedisServer,
}

impl Redis {
    /// A store on a server with these lines of configuration.
    pub async fn with(server_settings: &[&str], settings: StoreSettings) -> Self {
        let server = RedisServer::start_with(server_settings).unwrap();
        let store = connect(&server.url(), settings).await;
        Self { store, server }
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> MultiplexedConnection {
        connection(&self.server.url()).await
    }
}

impl Harness for Redis {
    type Store = RedisStore;

    async fn start(settings: StoreSettings) -> Self {
        let server = RedisServer::start().unwrap();
        Self { store: connect_patiently(&server.url(), settings).await, server }
    }

    fn store(&self) -> &RedisStore {
        &self.store
    }

    async fn pass(&self, duration: Duration) {
        shift(&mut self.connection().await, duration).await;
    }
}

/// Moves all that is stored on that server into the past, see [`SHIFT`].
pub async fn shift(connection: &mut MultiplexedConnection, by: Duration) {
    redis::cmd("EVAL").arg(SHIFT).arg(0).arg(by.as_secs()).exec_async(connection).await.unwrap();
}

pub async fn connect(url: &str, settings: StoreSettings) -> RedisStore {
    RedisStore::connect(RedisOptions::parse(url, None).unwrap(), settings, Arc::new(OsRandom)).await.unwrap()
}

/// The same, but in no hurry: for tests that are about what a step does, on a machine that is busy.
pub async fn connect_patiently(url: &str, settings: StoreSettings) -> RedisStore {
    let options = RedisOptions::parse(url, None).unwrap().step_timeout(PATIENCE);
    RedisStore::connect(options, settings, Arc::new(OsRandom)).await.unwrap()
}

pub async fn connection(url: &str) -> MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(Some(PATIENCE));
    redis::Client::open(url).unwrap().get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// A user, and a session of theirs that is not stored yet.
pub fn new_session(user: &str, number: u8) -> CreateSession {
    let user_id: UserId = user.parse().unwrap();
    let session: NewSession = serde_json::from_value(serde_json::json!({ "user_id": user_id })).unwrap();
    CreateSession {
        id: SessionId::new(&user_id, &[number; 32]),
        session,
        duration: LIFETIME,
        idle_timeout: None,
        is_persistent: false,
    }
}

/// The verdict on a token of that session.
pub async fn check(store: &RedisStore, session: &SessionData) -> Result<CheckVerdict, StoreError> {
    let token = OwnToken {
        user_id: session.user_id.clone(),
        session_id: Some(session.session_id.clone()),
        token_id: "token".parse().unwrap(),
    };
    Ok(store.check(&token).await?.verdict)
}

/// Asks until the store answers as `wanted`.
pub async fn poll_until<T, F: Future<Output = T>>(mut ask: impl FnMut() -> F, wanted: impl Fn(&T) -> bool) -> T {
    for _ in 0..1_000 {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come about");
}

/// Whether the error is one of a Redis that is not there or hangs.
pub fn is_away(error: &StoreError) -> bool {
    matches!(error.kind(), StoreErrorKind::Timeout | StoreErrorKind::Unavailable)
}

/// What a step may take in tests that are not about how long it takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The settings of most tests.
pub const USUAL: StoreSettings = SETTINGS;
