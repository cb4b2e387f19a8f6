-- Ends one session.
-- Atomic, because the session and its user's index must agree.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  session id
-- ARGV[2]  what the names of users' indexes begin with, in this slot
-- ARGV[3]  seconds that it stays known
-- Reply    1: ended now; 0: had ended before; nil: there is no such session
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
if not s then
  return false
end
local t = now()
if is_final(status_at(s, t)) then
  return 0
end
terminate(KEYS[1], s, t, tonumber(ARGV[3]))
redis.call('ZREM', ARGV[2] .. s.index, ARGV[1])
return 1
