-- Puts a token on the blacklist, even where Redis' memory is full.
-- Atomic, because two callers may revoke it until different moments, and the later one holds.
--
-- KEYS[1]  the token's entry
-- ARGV[1]  until when
-- ARGV[2]  seconds from now that an entry lasts at most
-- Reply    OK
local t = now()
local before = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local last = math.min(tonumber(ARGV[1]), t + tonumber(ARGV[2]))
if last > t and last > before then
  begin_writing(KEYS[1])
  redis.call('SET', KEYS[1], last, 'EXAT', last)
end
return redis.status_reply('OK')
