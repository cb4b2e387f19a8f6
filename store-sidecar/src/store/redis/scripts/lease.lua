-- Settles leases of a counter, and leases what there is of it.
-- Atomic, because nothing may be leased between the look at what is left and the taking of it; and because
-- the index must know every counter that there is.
--
-- KEYS[1]  the counter
-- KEYS[2]  the counters of its part, by when they were last asked for
-- KEYS[3]  the same, by when each is as if new
-- KEYS[4…] counters that may be forgotten to make room for this one
-- ARGV[1]  the counter's id
-- ARGV[2]  how many counters the part may have
-- ARGV[3]  worker
-- ARGV[4]  its number for the lease
-- ARGV[5]  how many were used beyond all leases
-- ARGV[6]  how many settled slots are still in use
-- ARGV[7]  how many are needed
-- ARGV[8]  how many are wanted
-- ARGV[9]  how many quotas follow: of each its algorithm's first letter, requests, window in milliseconds,
--          size, and how many before it have the same algorithm and window
-- then     how many leases follow that are settled: of each its number, and how many were used
-- then     the ids of the counters of KEYS[4…], in their order
-- Reply    texts, where nothing was done: the ids of counters to call again with. Else granted, lifetime, outstanding, when to retry, when to ask again; how many came back, how many
--          lapsed, how many counters were forgotten; and of each quota how many remain, and the reset
local FORM = 1

local function key_of(worker, number)
  return worker .. ' ' .. number
end

local function integer(number)
  return string.format('%.0f', number)
end

-- The account as it is stored, or a new one; nil where it was stored in a form that this script does not
-- know. The form: its version, `seen`, the leases (key, count, end); the counts: of each the shape, when
-- it was asked for, and its numbers. The first part's index stands as it is, the others as differences.
local function load_account(key)
  local stored = redis.call('GET', key)
  if not stored then
    return { seen = 0, leases = {}, counts = {}, owed = {} }, true
  end
  local is_read, form = pcall(cmsgpack.unpack, stored)
  if not is_read or type(form) ~= 'table' or form[1] ~= FORM then
    return nil
  end
  local account = { seen = form[2], leases = {}, counts = {}, owed = {} }
  local owed = form[5] or {}
  for i = 1, #owed, 2 do
    account.owed[owed[i]] = owed[i + 1]
  end
  for i = 1, #form[3], 3 do
    account.leases[form[3][i]] = { count = form[3][i + 1], till = form[3][i + 2] }
  end
  for _, f in ipairs(form[4]) do
    local count = { algorithm = f[1], window = f[2], nth = f[3], asked = f[4] }
    if count.algorithm == 'f' then
      count.index, count.used = f[5], f[6]
    elseif count.algorithm == 't' then
      count.requests, count.debt = f[5], f[6]
    else
      count.parts = {}
      local index = 0
      for i = 5, #f, 2 do
        index = index + f[i]
        count.parts[#count.parts + 1] = {index, f[i + 1]}
      end
    end
    account.counts[#account.counts + 1] = count
  end
  return account, false
end

local function stored_form(account)
  local leases, counts = {}, {}
  for key, lease in pairs(account.leases) do
    leases[#leases + 1] = key
    leases[#leases + 1] = lease.count
    leases[#leases + 1] = lease.till
  end
  for _, count in ipairs(account.counts) do
    local f, index = {count.algorithm, count.window, count.nth, count.asked}, 0
    if count.parts then
      for _, part in ipairs(count.parts) do
        f[#f + 1] = part[1] - index
        f[#f + 1] = part[2]
        index = part[1]
      end
    else
      f[5], f[6] = count.index or count.requests, count.used or count.debt
    end
    counts[#counts + 1] = f
  end
  local form, owed = {FORM, account.seen, leases, counts}, {}
  for key, till in pairs(account.owed) do
    owed[#owed + 1] = key
    owed[#owed + 1] = till
  end
  form[5] = owed[1] and owed
  return cmsgpack.pack(form)
end

-- Makes room in the part for another counter. Answers how many were forgotten for that; nil and the ids of those to
-- forget where the caller has not named their keys.
local function make_room(capacity, t, named)
  local gone = redis.call('ZRANGE', KEYS[3], '-inf', integer(t), 'BYSCORE', 'LIMIT', 0, 16)
  if gone[1] then
    redis.call('ZREM', KEYS[2], unpack(gone))
    redis.call('ZREM', KEYS[3], unpack(gone))
  end
  local evicted, beyond = 0, redis.call('ZCARD', KEYS[2]) + 1 - capacity
  if beyond > 0 then
    -- More than one where the part may have fewer than it had: then a few at a time.
    local idle = redis.call('ZRANGE', KEYS[2], 0, math.min(beyond, 16) - 1)
    for _, id in ipairs(idle) do
      if not named[id] then
        return nil, idle
      end
    end
    for _, id in ipairs(idle) do
      evicted = evicted + redis.call('DEL', named[id])
      redis.call('ZREM', KEYS[2], id)
      redis.call('ZREM', KEYS[3], id)
    end
  end
  return evicted
end

-- Lets the index live as long as the last of its counters.
local function keep_index(id, t, till)
  redis.call('ZADD', KEYS[2], integer(t), id)
  redis.call('ZADD', KEYS[3], integer(till), id)
  local last = redis.call('ZRANGE', KEYS[3], -1, -1, 'WITHSCORES')[2]
  for i = 2, 3 do
    redis.call('PEXPIRE', KEYS[i], integer(math.max(tonumber(last) - t, 1)))
  end
end

local id, worker = ARGV[1], ARGV[3]
local ask = {
  key = key_of(worker, ARGV[4]), owed = tonumber(ARGV[5]), kept = tonumber(ARGV[6]), need = tonumber(ARGV[7]),
  want = tonumber(ARGV[8]), quotas = {}, settled = {},
}
local at = 10
for i = 1, tonumber(ARGV[9]) do
  ask.quotas[i] = {
    algorithm = ARGV[at], requests = tonumber(ARGV[at + 1]), window = tonumber(ARGV[at + 2]),
    size = tonumber(ARGV[at + 3]), nth = tonumber(ARGV[at + 4]),
  }
  at = at + 5
end
for i = 1, tonumber(ARGV[at]) do
  ask.settled[i] = { key = key_of(worker, ARGV[at + 2 * i - 1]), used = tonumber(ARGV[at + 2 * i]) }
end
at = at + 2 * #ask.settled
local named = {}
for i = 4, #KEYS do
  named[ARGV[at + i - 3]] = KEYS[i]
end

local t = now_millis()
local account, is_new = load_account(KEYS[1])
if not account then
  return redis.error_reply('SGFORMAT a stored counter cannot be read')
end
local reply = step(account, t, ask)
local lives = over(account) - account.seen
local evicted = 0
if lives > 0 then
  if is_new then
    local to_name
    evicted, to_name = make_room(tonumber(ARGV[2]), t, named)
    if to_name then
      return to_name
    end
  end
  redis.call('SET', KEYS[1], stored_form(account), 'PX', integer(lives))
  keep_index(id, t, t + lives)
elseif not is_new then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], id)
  redis.call('ZREM', KEYS[3], id)
end
table.insert(reply, 8, evicted)
return reply
