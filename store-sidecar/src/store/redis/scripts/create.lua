-- Stores a new session and enters it into its user's index.
-- Atomic, because a session that the index lacks would outlive `terminate all`.
--
-- KEYS[1]  the session
-- KEYS[2]  its user's index
-- ARGV[1]  session id
-- ARGV[2]  user id
-- ARGV[3]  name of the index: the hash of the user id
-- ARGV[4]  status
-- ARGV[5]  seconds until it expires
-- ARGV[6]  seconds that it may be idle; empty: for ever
-- ARGV[7]  the rest, as JSON
-- ARGV[8]  seconds that it stays known afterwards
-- ARGV[9]  the operation
-- ARGV[10] its scopes, blank between two; absent: none
-- Reply    the time; nil where the id exists already, but not by this operation
if redis.call('EXISTS', KEYS[1]) == 1 then
  local s, failure = load(KEYS[1])
  if failure then
    return failure
  end
  return s.op == ARGV[9] and s.created_at or false
end
local t = now()
local expires_at = t + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'format', '1', 'user_id', ARGV[2], 'index', ARGV[3], 'status', ARGV[4],
  'version', 1, 'created_at', t, 'last_activity', t, 'expires_at', expires_at, 'data', ARGV[7], 'op', ARGV[9])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'idle_timeout', ARGV[6])
end
if ARGV[10] then
  redis.call('HSET', KEYS[1], 'scopes', ARGV[10])
end
redis.call('EXPIREAT', KEYS[1], expires_at + tonumber(ARGV[8]))
redis.call('ZADD', KEYS[2], expires_at, ARGV[1])
tidy(KEYS[2], t)
return t
