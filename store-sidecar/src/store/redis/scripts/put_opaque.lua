-- Stores what an opaque token says.
-- Atomic, because a record without its end would stay for ever.
--
-- KEYS[1]  the token's record
-- ARGV[1]  until when
-- ARGV[2]  seconds from now that a record lasts at most
-- ARGV[3]  its claims, as JSON
-- Reply    OK
local t = now()
local last = math.min(tonumber(ARGV[1]), t + tonumber(ARGV[2]))
if last > t then
  redis.call('HSET', KEYS[1], 'format', '1', 'expires_at', last, 'claims', ARGV[3])
  redis.call('EXPIREAT', KEYS[1], last)
end
return redis.status_reply('OK')
