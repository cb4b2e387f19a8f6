-- Puts a session under a new id: the old one ends, and what it was goes on under the new one, in the same generation.
-- Atomic, because of two rotations of a session one must win, and because it must be neither twice in its user's index
-- nor missing there. Costs a read and a write of one session, and two steps in its user's index.
--
-- KEYS[1]  the session
-- KEYS[2]  the same under its new id
-- KEYS[3]  its user's index
-- KEYS[4]  how far the generations of sessions have come
-- ARGV[1]  user id
-- ARGV[2]  its id
-- ARGV[3]  the new id
-- ARGV[4]  seconds that each stays known after its end
-- ARGV[5]  the operation
-- ARGV[6]  its scopes after a plus, blank between two; empty: those that it had
-- Reply    done, the time, the fields and values under the new id, and before which generation sessions of its user have
--          ended; or, where nothing was changed, its status, unknown (the user has no such session) or exists (the new id
--          does, but not by this operation)
local function done(t, s)
  return {'done', t, redis.call('HGETALL', KEYS[2]), ended_before(KEYS[4], s.index)}
end
if redis.call('EXISTS', KEYS[2]) == 1 then
  local s, failure = load(KEYS[2], KEYS[4])
  if failure then
    return failure
  end
  if s.op ~= ARGV[5] then
    return {'exists'}
  end
  return done(now(), s)
end
local s, failure = load(KEYS[1], KEYS[4])
if failure then
  return failure
end
if not s or s.user_id ~= ARGV[1] then
  return {'unknown'}
end
local t = now()
local status = status_at(s, t)
if status ~= 'active' and status ~= 'pending_2fa' then
  return {status}
end
local retention = tonumber(ARGV[4])
-- The first to be written: where Redis' memory is full nothing is, and the old id lives on.
redis.call('HSET', KEYS[2], unpack(redis.call('HGETALL', KEYS[1])))
redis.call('HSET', KEYS[2], 'status', 'active', 'version', 1, 'created_at', t, 'last_activity', t, 'op', ARGV[5])
-- The tokens of the old id are not renewed under the new one.
redis.call('HDEL', KEYS[2], 'renewal', 'predecessor', 'successor', 'refresh')
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[2], 'scopes', string.sub(ARGV[6], 2))
end
redis.call('EXPIREAT', KEYS[2], s.expires_at + retention)
terminate(KEYS[1], s, t, retention, ARGV[5])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('ZADD', KEYS[3], s.expires_at, ARGV[3])
tidy(KEYS[3], t)
return done(t, s)
