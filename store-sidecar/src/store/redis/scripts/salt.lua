-- What decides which part a counter of a rate limit is of. Made once, and the same for all who share the store.
-- Atomic, so that all who come first take the same one.
--
-- KEYS[1]  the salt
-- ARGV[1]  the one to take where there is none yet
-- Reply    the salt
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
