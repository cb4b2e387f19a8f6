-- Which operations were noted some time ago.
-- Atomic, because the time is Redis' own.
--
-- KEYS[1]  what is noted, by when
-- ARGV[1]  seconds since
-- ARGV[2]  how many at most
-- Reply    the operations and users
return redis.call('ZRANGE', KEYS[1], '-inf', now() - tonumber(ARGV[1]), 'BYSCORE', 'LIMIT', 0, ARGV[2])
