-- Reads a session and the time at which it was so.
-- Atomic, because its status follows from both.
--
-- KEYS[1]  the session
-- Reply    the time, and the session's fields and values (none where there is no such session)
return {now(), redis.call('HGETALL', KEYS[1])}
