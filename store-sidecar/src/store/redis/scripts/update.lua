-- Puts in place what a patch made of a session, if nothing has changed since it was read.
-- Atomic, because two patches must not overwrite each other and an ended session must stay ended.
-- The patch itself is computed by the caller: Lua's JSON turns [] into {} and rounds large numbers.
--
-- KEYS[1]  the session
-- KEYS[2]  its user's index
-- KEYS[3]  how far the generations of sessions have come
-- ARGV[1]  the version that was read
-- ARGV[2]  new status
-- ARGV[3]  the rest, as JSON
-- ARGV[4]  session id
-- ARGV[5]  seconds that it stays known after its end
-- ARGV[6]  the operation
-- ARGV[7]  1: it takes something away, which is done even where Redis' memory is full
-- ARGV[8]  its scopes, blank between two; absent: none
-- Reply    its last activity; nil where it has changed, ended or gone since, but not by this operation
local s, failure = load(KEYS[1], KEYS[3])
if failure then
  return failure
end
if s and s.op == ARGV[6] then
  return s.last_activity
end
local t = now()
if not s or s.version ~= tonumber(ARGV[1]) or is_final(status_at(s, t)) then
  return false
end
if ARGV[7] == '1' then
  begin_writing(KEYS[1])
end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'version', s.version + 1, 'data', ARGV[3], 'op', ARGV[6])
if ARGV[8] then
  redis.call('HSET', KEYS[1], 'scopes', ARGV[8])
else
  redis.call('HDEL', KEYS[1], 'scopes')
end
redis.call('EXPIREAT', KEYS[1], (is_final(ARGV[2]) and t or s.expires_at) + tonumber(ARGV[5]))
if is_final(ARGV[2]) then
  redis.call('HDEL', KEYS[1], 'renewal', 'predecessor', 'successor', 'refresh')
  redis.call('ZREM', KEYS[2], ARGV[4])
end
return s.last_activity
