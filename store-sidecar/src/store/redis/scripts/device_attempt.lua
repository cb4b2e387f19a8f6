-- Whether an account knows the device that shows a token, and what that has left of its budget; counts a failure. The same
-- as `Devices::attempt`.
-- Atomic, because of any number of guesses at once only so many may count.
--
-- KEYS[1]  the account's devices
-- ARGV[1]  the token's hash
-- ARGV[2]  `ask` or `failed`
-- ARGV[3]  failures that it may have in a window
-- ARGV[4]  for how long a failure counts, in milliseconds
-- ARGV[5]  failures in all after which it is known no more
-- ARGV[6]  for how long after a token was issued those before it stay known, in milliseconds
-- Reply    whether it is known and has something left; whether that was the last
local t = now_millis()
local devices, failure = read_devices(KEYS[1])
if failure then
  return failure
end
local at, place = find_device(devices, ARGV[1], t)
if not at then
  return {0, 0}
end
local device, most, window = devices[at], tonumber(ARGV[3]), tonumber(ARGV[4])
-- It is shown: its browser needs the tokens before it no more, but for requests on their way.
device[2] = t
if t >= device[5][place + 1] + tonumber(ARGV[6]) then
  local kept = {}
  for i = place, #device[5] do
    kept[#kept + 1] = device[5][i]
  end
  device[5] = kept
end
local failures = {}
for _, failed in ipairs(device[4]) do
  if t < failed + window then
    failures[#failures + 1] = failed
  end
end
device[4] = failures
local trusted, exhausted = #failures < most, false
if trusted and ARGV[2] == 'failed' then
  failures[#failures + 1] = t
  device[3] = device[3] + 1
  local void = device[3] >= tonumber(ARGV[5])
  exhausted = void or #failures >= most
  if void then
    table.remove(devices, at)
  end
end
write_devices(KEYS[1], devices, t)
return {trusted and 1 or 0, exhausted and 1 or 0}
