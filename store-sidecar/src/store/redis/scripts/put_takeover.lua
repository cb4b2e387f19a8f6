-- Keeps what a login said that was refused for want of room.
-- Atomic, because one without its end would stay for ever.
--
-- KEYS[1]  the login
-- ARGV[1]  what it said
-- ARGV[2]  seconds that it lasts
-- Reply    OK
redis.call('HSET', KEYS[1], 'login', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')
