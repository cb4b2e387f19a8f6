-- Replaces what one replica of the sidecar says of the workers that follow it.
-- Atomic, because the moment of the record is that of its writing.
--
-- KEYS[1]  the records of all replicas
-- ARGV[1]  the replica
-- ARGV[2]  milliseconds that the record lives
-- ARGV[3]  what it says, as JSON
-- Reply    OK
local t = now_millis()
local longest = tonumber(ARGV[2])
local records = redis.call('HGETALL', KEYS[1])
for i = 1, #records, 2 do
  local written, lifetime = string.match(records[i + 1], '^(%d+) (%d+) ')
  if not written or t - tonumber(written) >= tonumber(lifetime) then
    redis.call('HDEL', KEYS[1], records[i])
  else
    longest = math.max(longest, tonumber(lifetime))
  end
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s %s', t, ARGV[2], ARGV[3]))
redis.call('PEXPIRE', KEYS[1], longest)
return redis.status_reply('OK')
