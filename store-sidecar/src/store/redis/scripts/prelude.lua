-- What every script begins with. The names of statuses are those of the wire protocol.

-- Redis' own time, in whole seconds: the one clock that every replica of the sidecar shares.
local function now()
  return tonumber(redis.call('TIME')[1])
end

-- The same in milliseconds.
local function now_millis()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- The same in microseconds.
local function now_micros()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end

local function is_final(status)
  return status == 'expired' or status == 'terminated'
end

-- Sessions of a generation before this have ended, of the user whose index has that name. What cannot be read
-- counts: in doubt they have.
local function ended_before(cut_offs, index)
  local before = redis.call('HGET', cut_offs, index .. ':ended_before')
  return before and (tonumber(before) or 9007199254740991) or 0
end

-- What decisions depend on, of the session at `key`. Nil where there is none; nil and an error reply
-- where it was stored in a form that this script does not know. `cut_off`: all of its user's sessions of its
-- generation have ended, which `cut_offs` says, and it not before by itself.
local function load(key, cut_offs)
  local f = redis.call('HMGET', key, 'format', 'user_id', 'index', 'status', 'version', 'expires_at', 'last_activity',
    'idle_timeout', 'scopes', 'created_at', 'op', 'generation')
  if not f[1] then
    return nil
  end
  local s = {
    user_id = f[2], index = f[3], status = f[4],
    version = f[5] and tonumber(f[5]), expires_at = f[6] and tonumber(f[6]),
    last_activity = f[7] and tonumber(f[7]), idle_timeout = f[8] and tonumber(f[8]),
    scopes = f[9], created_at = f[10] and tonumber(f[10]), op = f[11], generation = tonumber(f[12] or 0) or 0,
  }
  if f[1] ~= '1' or not (s.user_id and s.index and s.status and s.version and s.expires_at and s.last_activity) then
    return nil, redis.error_reply('SGFORMAT a stored session cannot be read')
  end
  s.cut_off = not is_final(s.status) and s.generation < ended_before(cut_offs, s.index)
  return s
end

-- What the session is at `t`, whatever was stored: time ends it without a write, and so does a cut-off. What had
-- expired by then stays expired.
local function status_at(s, t)
  if is_final(s.status) then
    return s.status
  end
  if t >= s.expires_at or (s.idle_timeout and t - s.last_activity >= s.idle_timeout) then
    return 'expired'
  end
  return s.cut_off and 'terminated' or s.status
end

-- Redis refuses what takes memory while its memory is full, but lets a script finish what it has begun. So a script
-- that must do its work even then (an end, a revocation, an entry of the feed) first takes the end off a key, which
-- takes no memory, and gives it one in the end. (The flag `allow-oom` says the same, but Redis 6.2 does not know it.)
local function begin_writing(key)
  redis.call('PERSIST', key)
end

-- Ends the session at `key`, which stays known for `retention` seconds, without the data of its user, and notes by
-- which operation.
local function terminate(key, s, t, retention, op)
  begin_writing(key)
  redis.call('HSET', key, 'status', 'terminated', 'version', s.version + 1, 'data', '{}', 'op', op)
  redis.call('HDEL', key, 'renewal', 'predecessor', 'successor', 'refresh')
  redis.call('EXPIREAT', key, t + retention)
end

-- Drops from a user's index what is over, and lets the index go with its latest member. Where Redis refuses to write,
-- another time.
local function tidy(index, t)
  redis.pcall('ZREMRANGEBYSCORE', index, '-inf', t)
  local latest = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
  if latest[2] then
    redis.pcall('EXPIREAT', index, latest[2])
  end
end

-- Notes a use of the session at `key` where the noted one is older than the resolution, or than a
-- quarter of its idle timeout if that is less. Only a session that may be used is in use: a suspended
-- one does not live longer by being asked for. Returns an error reply where this server has become a replica: what it
-- holds may be old.
local function note_activity(key, s, status, t, resolution)
  if status ~= 'active' and status ~= 'pending_2fa' then
    return nil
  end
  if s.idle_timeout then
    resolution = math.min(resolution, math.floor(s.idle_timeout / 4))
  end
  if t - s.last_activity <= resolution then
    return nil
  end
  -- Where Redis refuses to write for any other reason, what was asked is right all the same.
  local written = redis.pcall('HSET', key, 'last_activity', t)
  if type(written) == 'table' and written.err and string.find(written.err, 'READONLY', 1, true) then
    return redis.error_reply('READONLY this server is a replica')
  end
end

