-- Says whose sessions these are; from the first call on.
-- Atomic, so that of two that come first one is refused.
--
-- KEYS[1]  the issuer
-- ARGV[1]  the issuer that asks
-- Reply    the issuer; nil where there is none and Redis refuses to write
redis.pcall('PERSIST', KEYS[1]) -- As in `begin_writing`.
redis.pcall('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
