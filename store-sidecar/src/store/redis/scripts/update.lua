-- Puts in place what a patch made of a session, if nothing has changed since it was read.
-- Atomic, because two patches must not overwrite each other and an ended session must stay ended.
-- The patch itself is computed by the caller: Lua's JSON turns [] into {} and rounds large numbers.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  the version that was read
-- ARGV[2]  new status
-- ARGV[3]  the rest, as JSON
-- ARGV[4]  session id
-- ARGV[5]  what the names of users' indexes begin with, in this slot
-- ARGV[6]  seconds that it stays known after its end
-- ARGV[7]  its scopes, blank between two; absent: none
-- Reply    its last activity; nil where it has changed, ended or gone since
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
local t = now()
if not s or s.version ~= tonumber(ARGV[1]) or is_final(status_at(s, t)) then
  return false
end
if is_final(ARGV[2]) or ARGV[2] == 'suspended' then
  -- What takes a session away is done even where Redis' memory is full.
  begin_writing(KEYS[1])
end
redis.call('HSET', KEYS[1], 'status', ARGV[2], 'version', s.version + 1, 'data', ARGV[3])
if ARGV[7] then
  redis.call('HSET', KEYS[1], 'scopes', ARGV[7])
else
  redis.call('HDEL', KEYS[1], 'scopes')
end
redis.call('EXPIREAT', KEYS[1], (is_final(ARGV[2]) and t or s.expires_at) + tonumber(ARGV[6]))
if is_final(ARGV[2]) then
  redis.call('ZREM', ARGV[5] .. s.index, ARGV[4])
end
return s.last_activity
