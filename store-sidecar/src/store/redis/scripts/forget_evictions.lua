-- Everybody knows of what an operation has ended.
-- Atomic, as one command is.
--
-- KEYS[1]  what is noted
-- ARGV[1]  the operation and the user
-- Reply    OK
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.status_reply('OK')
