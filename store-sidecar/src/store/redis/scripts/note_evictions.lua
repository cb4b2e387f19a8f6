-- Notes that an operation is about to end sessions, and when.
-- Atomic, because the time is Redis' own.
--
-- KEYS[1]  what is noted, by when
-- ARGV[1]  the operation and the user
-- ARGV[2]  seconds that a token lives at most: after that nobody needs to be told
-- Reply    OK
redis.call('ZADD', KEYS[1], now(), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')
