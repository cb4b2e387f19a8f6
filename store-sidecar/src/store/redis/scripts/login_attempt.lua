-- Decides about a login, and counts it, for one account or one address. The same as `Tally::attempt`.
-- Atomic, because of any number of guesses at once only so many may count before the lock.
--
-- KEYS[1]  the counter: `1 <locks in a row> <locked until> <failures …>`, moments in milliseconds
-- ARGV[1]  `ask`, `failed` or `succeeded`
-- ARGV[2]  failures until it locks
-- ARGV[3]  for how long a failure counts, in milliseconds
-- ARGV[4]  for how long a lock is remembered after its end
-- ARGV[5]  how long the first lock lasts; [6] the second; [7] all others
-- Reply    whether it is admitted; for how many milliseconds attempts are refused from now on; how many failures count;
--          whether a lock has begun
local t = now_millis()
local attempt, most, window, memory = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local level, locked_until, failures = 0, 0, {}
local stored = redis.call('GET', KEYS[1])
if stored then
  local fields = {}
  for field in string.gmatch(stored, '%S+') do
    fields[#fields + 1] = tonumber(field)
  end
  if fields[1] ~= 1 or not fields[3] then
    return redis.error_reply('SGFORMAT a stored counter of logins cannot be read')
  end
  if t < fields[3] + memory then
    level, locked_until = fields[2], fields[3]
  end
  for i = 4, #fields do
    if t < fields[i] + window then
      failures[#failures + 1] = fields[i]
    end
  end
end
local admitted, locks = t >= locked_until, false
if admitted and attempt == 'succeeded' then
  redis.call('DEL', KEYS[1])
  level, locked_until, failures = 0, 0, {}
elseif admitted and attempt == 'failed' then
  failures[#failures + 1] = t
  while #failures > most do
    table.remove(failures, 1)
  end
  if #failures >= most then
    locked_until = t + tonumber(ARGV[5 + math.min(level, 2)])
    level = level + 1
    locks = true
  end
  local ends = failures[#failures] + window
  if level > 0 then
    ends = math.max(ends, locked_until + memory)
  end
  local form = string.format('1 %.0f %.0f', level, locked_until)
  for _, failed in ipairs(failures) do
    form = form .. string.format(' %.0f', failed)
  end
  redis.call('SET', KEYS[1], form, 'PX', string.format('%.0f', ends - t))
end
return {admitted and 1 or 0, math.max(locked_until - t, 0), #failures, locks and 1 or 0}
