-- Reads a session and the time at which it was so.
-- Atomic, because its status follows from both.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- Reply    the time; the session's fields and values (none where there is no such session); sessions of its user of
--          a generation before this have ended
local index = redis.call('HGET', KEYS[1], 'index')
return {now(), redis.call('HGETALL', KEYS[1]), index and ended_before(KEYS[2], index) or 0}
