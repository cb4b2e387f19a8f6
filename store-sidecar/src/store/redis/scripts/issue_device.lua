-- Gives a token to the device that has shown another, or to a new one. The same as `Devices::issue`.
-- Atomic, so that of many logins at once each has a token that is known.
--
-- KEYS[1]  the account's devices
-- ARGV[1]  the token's hash
-- ARGV[2]  that of the one that was shown; empty: none
-- ARGV[3]  for how long the device is known from now on, in milliseconds
-- ARGV[4]  how many devices may be known
-- ARGV[5]  how many tokens of each
-- Reply    OK
local t = now_millis()
local stored, failure = read_devices(KEYS[1])
if failure then
  return failure
end
local devices = {}
for _, device in ipairs(stored) do
  if t < device[1] then
    devices[#devices + 1] = device
  end
end
local ends = t + tonumber(ARGV[3])
local repeated = find_device(devices, ARGV[1], t)
local at = repeated or find_device(devices, ARGV[2], t)
if at then
  devices[at][1] = ends
  local tokens = devices[at][5]
  if not repeated then
    tokens[#tokens + 1] = ARGV[1]
    tokens[#tokens + 1] = t
  end
  if #tokens > 2 * tonumber(ARGV[5]) then
    -- The first goes, and never the one that was shown.
    local first = tokens[1] == ARGV[2] and 3 or 1
    table.remove(tokens, first)
    table.remove(tokens, first)
  end
else
  while #devices >= tonumber(ARGV[4]) do
    -- The one that was shown the longest ago, and of those that never were the first.
    local last = 1
    for i, device in ipairs(devices) do
      if device[2] < devices[last][2] then
        last = i
      end
    end
    table.remove(devices, last)
  end
  devices[#devices + 1] = {ends, 0, 0, {}, {ARGV[1], t}}
end
write_devices(KEYS[1], devices, t)
return redis.status_reply('OK')
