-- Ends one session.
-- Atomic, because the session and its user's index must agree.
--
-- KEYS[1]  the session
-- KEYS[2]  its user's index
-- KEYS[3]  how far the generations of sessions have come
-- ARGV[1]  session id
-- ARGV[2]  seconds that it stays known
-- ARGV[3]  the operation
-- Reply    1: ended by this operation; 0: had ended before; nil: there is no such session
local s, failure = load(KEYS[1], KEYS[3])
if failure then
  return failure
end
if not s then
  return false
end
local t = now()
if is_final(status_at(s, t)) then
  return s.status == 'terminated' and s.op == ARGV[3] and 1 or 0
end
terminate(KEYS[1], s, t, tonumber(ARGV[2]), ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
