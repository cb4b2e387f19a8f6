-- Whether an account knows a device, and what that has left of its budget; counts a failure. The same as
-- `Devices::attempt`.
-- Atomic, because of any number of guesses at once only so many may count.
--
-- KEYS[1]  the account's devices: by each one's hash `<until when> <failures in all> <failures …>`, in milliseconds
-- ARGV[1]  the device's hash
-- ARGV[2]  `ask` or `failed`
-- ARGV[3]  failures that it may have in a window
-- ARGV[4]  for how long a failure counts, in milliseconds
-- ARGV[5]  failures in all after which it is known no more
-- Reply    whether it is known and has something left; whether that was the last
local t = now_millis()
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored then
  return {0, 0}
end
local most, window = tonumber(ARGV[3]), tonumber(ARGV[4])
local fields = {}
for field in string.gmatch(stored, '%S+') do
  fields[#fields + 1] = tonumber(field)
end
local ends, total = fields[1], fields[2]
if not (ends and total) then
  return redis.error_reply('SGFORMAT a stored device cannot be read')
end
local failures = {}
for i = 3, #fields do
  if t < fields[i] + window then
    failures[#failures + 1] = fields[i]
  end
end
if t >= ends or #failures >= most then
  return {0, 0}
end
if ARGV[2] ~= 'failed' then
  return {1, 0}
end
failures[#failures + 1] = t
total = total + 1
if total >= tonumber(ARGV[5]) then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {1, 1}
end
local form = string.format('%.0f %.0f', ends, total)
for _, failed in ipairs(failures) do
  form = form .. string.format(' %.0f', failed)
end
redis.call('HSET', KEYS[1], ARGV[1], form)
return {1, #failures >= most and 1 or 0}
