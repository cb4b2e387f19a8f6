-- What the scripts of the change feed share.
--
-- The epoch is a hash: `format`, `id` and `since` (see the wire protocol), `last` (the place of the
-- newest entry there ever was), `trimmed` (what is older has been removed on purpose) and `horizon`
-- (the longest life of a token that any replica of the sidecar has named, in seconds).

-- Whether place `a` comes before place `b`. Both parts are well below 2^53.
local function before(a, b)
  local a_millis, a_number = string.match(a, '^(%d+)-(%d+)$')
  local b_millis, b_number = string.match(b, '^(%d+)-(%d+)$')
  a_millis, b_millis = tonumber(a_millis), tonumber(b_millis)
  if a_millis ~= b_millis then
    return a_millis < b_millis
  end
  return tonumber(a_number) < tonumber(b_number)
end

-- Begins the feed anew. What is in the log stays of use.
local function begin(epoch, log, id, t)
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  local last = newest[1] and newest[1][1] or '0-0'
  redis.call('HSET', epoch, 'format', '1', 'id', id, 'since', t, 'last', last)
end

-- The feed as it stands, which has begun; nil and an error reply where it was stored in a form that
-- this script does not know.
local function load_feed(epoch, log, id, horizon, t)
  if redis.call('EXISTS', epoch) == 0 then
    begin(epoch, log, id, t)
    redis.call('HSET', epoch, 'trimmed', '0-0', 'horizon', horizon)
  end
  local f = redis.call('HMGET', epoch, 'format', 'id', 'since', 'last', 'trimmed', 'horizon')
  if f[1] ~= '1' or not (f[2] and f[3] and f[4] and f[5] and f[6]) then
    return nil, redis.error_reply('SGFORMAT the feed cannot be read')
  end
  local feed = { id = f[2], since = f[3], last = f[4], trimmed = f[5], horizon = tonumber(f[6]) }
  if feed.horizon < horizon then
    feed.horizon = horizon
    redis.call('HSET', epoch, 'horizon', horizon)
  end
  return feed
end

-- Lets both keys live for twice the horizon from now on: as long as anybody reads or writes the feed,
-- and for as long afterwards as an entry could matter. Together, so that none outlives the other.
local function keep_feed(epoch, log, feed)
  redis.call('EXPIRE', epoch, 2 * feed.horizon)
  redis.call('EXPIRE', log, 2 * feed.horizon)
end

