-- Everybody has been told of the sessions that an operation has ended.
-- Atomic, so that another's stay.
--
-- KEYS[1]  what nobody may have been told of
-- ARGV[1]  the operation
-- Reply    OK
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  if string.match(all[i + 1], ' (%x+)$') == ARGV[1] then
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return redis.status_reply('OK')
