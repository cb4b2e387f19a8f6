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

-- The first or the last place in a stream, or nil.
local function first_place(stream)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
  return first[1] and first[1][1]
end
local function last_place(stream)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)
  return last[1] and last[1][1]
end

-- Takes a rule away that stands: its id, and the place at which it stands.
local function remove_standing(keys, id, place)
  redis.call('XDEL', keys.standing, place)
  redis.call('HDEL', keys.rules, id)
  if redis.call('HLEN', keys.rules) == 0 then
    redis.call('DEL', keys.standing)
  end
end

-- Begins the feed anew, even where Redis' memory is full. What is in the log, and the rules that stand, stay of use.
local function begin(keys, id, t)
  local last = last_place(keys.log) or '0-0'
  local trimmed = redis.call('HGET', keys.epoch, 'trimmed') or '0-0'
  local rule = last_place(keys.standing)
  if rule and before(last, rule) then
    -- The log has been dropped up to this rule, which the feed now ends with.
    last = rule
    local millis, number = string.match(rule, '^(%d+)-(%d+)$')
    trimmed = string.format('%s-%.0f', millis, tonumber(number) + 1)
  end
  begin_writing(keys.epoch)
  redis.call('HSET', keys.epoch, 'format', '1', 'id', id, 'since', t, 'last', last, 'trimmed', trimmed)
end

-- The feed as it stands, which has begun; nil and an error reply where it was stored in a form that
-- this script does not know.
local function load_feed(keys, id, horizon, t)
  if redis.call('EXISTS', keys.epoch) == 0 then
    begin(keys, id, t)
    redis.call('HSET', keys.epoch, 'horizon', horizon)
  end
  local f = redis.call('HMGET', keys.epoch, 'format', 'id', 'since', 'last', 'trimmed', 'horizon')
  if f[1] ~= '1' or not (f[2] and f[3] and f[4] and f[5] and f[6]) then
    return nil, redis.error_reply('SGFORMAT the feed cannot be read')
  end
  local feed = { id = f[2], since = f[3], last = f[4], trimmed = f[5], horizon = tonumber(f[6]) }
  if feed.horizon < horizon then
    feed.horizon = horizon
    -- A Redis that refuses to write is read all the same; and drops nothing meanwhile.
    redis.pcall('PERSIST', keys.epoch)
    redis.pcall('HSET', keys.epoch, 'horizon', horizon)
  end
  return feed
end

-- For how long a feed is kept that Redis refuses to keep longer, in seconds.
local REFUSED_FOR = 86400

-- Lets epoch and log live for twice the horizon and a day from now on: as long as anybody reads or writes the feed,
-- and for as long afterwards as an entry could matter, or as Redis may refuse to write. Together, so that none outlives
-- the other. The rules that stand have an end of their own.
local function keep_feed(keys, feed)
  redis.call('EXPIRE', keys.epoch, 2 * feed.horizon + REFUSED_FOR)
  redis.call('EXPIRE', keys.log, 2 * feed.horizon + REFUSED_FOR)
end
