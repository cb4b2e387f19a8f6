-- Lets an account know a new device, and another no more. The same as `Devices::issue`.
-- Atomic, so that a device that is replaced is of no use from the moment on that the new one is.
--
-- KEYS[1]  the account's devices: by each one's hash `<until when> <failures in all> <failures …>`, in milliseconds
-- ARGV[1]  the new one's hash
-- ARGV[2]  that of the one that it replaces; empty: none
-- ARGV[3]  for how long it is known, in milliseconds
-- ARGV[4]  how many may be known
-- Reply    OK
local t = now_millis()
local known = {}
local stored = redis.call('HGETALL', KEYS[1])
for i = 1, #stored, 2 do
  local ends = tonumber(string.match(stored[i + 1], '^%d+') or 0)
  if stored[i] == ARGV[2] or ends <= t then
    redis.call('HDEL', KEYS[1], stored[i])
  elseif stored[i] ~= ARGV[1] then
    known[#known + 1] = {ends, stored[i]}
  end
end
table.sort(known, function(a, b) return a[1] < b[1] end)
for i = 1, #known + 1 - tonumber(ARGV[4]) do
  redis.call('HDEL', KEYS[1], known[i][2])
end
local ends = t + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f 0', ends))
local last = known[#known] and known[#known][1] or 0
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.max(ends, last) - t))
return redis.status_reply('OK')
