-- The account of one counter: the step of `account.rs`, number for number, where everything has its
-- reasons. A test holds both to the same answers.
--
-- An account has `seen`, the latest moment of all steps; `leases`, by worker and number, each with `count`
-- and `till`; `owed`, by the same, until when it is known that this call has said what was used beyond leases; and `counts`, in the order in which they were made: each with the `algorithm`'s first letter,
-- the `window`, `nth` (how many alike were asked for before it), when it was `asked` for, and
--   f  the `index` of the window, and how many were `used` in it
--   s  `parts`: the index of each part of the window in which any were used, and how many
--   t  how many `requests` flow in per window, and how many are missing: the `debt`
local SHORTEST_LEASE, USUAL_LEASE, MAX_LEASE, WHOLE_LEASE, SLOTS_LEASE, SLOTS_AGAIN = 50, 10000, 60000, 500, 30000, 1000
local PARTS, MAX_COUNTS, LONGEST = 64, 16, 100 * 365 * 24 * 3600 * 1000
local OWED_KNOWN, FARTHEST_BACK = 10000, 10000

local function part_of(count)
  return math.ceil(count.window / PARTS)
end

local function outstanding_of(account)
  local sum = 0
  for _, lease in pairs(account.leases) do
    sum = sum + lease.count
  end
  return sum
end

-- The leases, the soonest to end first.
local function sorted(leases)
  local all = {}
  for _, lease in pairs(leases) do
    all[#all + 1] = lease
  end
  table.sort(all, function(a, b) return a.till < b.till end)
  return all
end

local function used_of(count)
  if count.algorithm == 'f' then
    return count.used
  end
  local sum = 0
  for _, part in ipairs(count.parts) do
    sum = sum + part[2]
  end
  return sum
end

-- So many of a lease have been used by `at`.
local function note(count, at, used)
  if used == 0 or count.algorithm == 't' then
    return
  end
  if count.algorithm == 'f' then
    local index = math.floor(at / count.window)
    count.used = index > count.index and used or count.used + used
    count.index = math.max(index, count.index)
    return
  end
  local index, last = math.ceil(at / part_of(count)), count.parts[#count.parts]
  if last and last[1] == index then
    last[2] = last[2] + used
  else
    count.parts[#count.parts + 1] = {index, used}
  end
end

-- Lets so many milliseconds pass, during which so many were in leases.
local function pass_count(count, elapsed, outstanding)
  if count.algorithm == 't' then
    count.debt = math.max(count.debt - count.requests / count.window * elapsed, outstanding)
  end
end

-- Forgets what counts no more.
local function prune(count, now)
  if count.algorithm == 'f' then
    local index = math.floor(now / count.window)
    if count.index < index then
      count.index, count.used = index, 0
    end
  elseif count.algorithm == 's' then
    local kept = {}
    for _, part in ipairs(count.parts) do
      if now < part[1] * part_of(count) + count.window then
        kept[#kept + 1] = part
      end
    end
    count.parts = kept
  end
end

-- Goes on by a clock that is behind by so much.
local function set_back(account, by)
  account.seen = account.seen - by
  for _, lease in pairs(account.leases) do
    lease.till = lease.till - by
  end
  for key, till in pairs(account.owed) do
    account.owed[key] = till - by
  end
  for _, count in ipairs(account.counts) do
    count.asked = math.max(count.asked - by, 0)
    if count.algorithm == 'f' then
      count.index = math.min(count.index, math.floor(account.seen / count.window))
    end
    for _, part in ipairs(count.parts or {}) do
      part[1] = part[1] - math.floor(by / part_of(count))
    end
  end
end

-- Lets the time pass until `now`. Answers how many were in leases that ended meanwhile.
local function pass(account, now)
  if now + FARTHEST_BACK < account.seen then
    set_back(account, account.seen - now)
  end
  now = math.max(now, account.seen)
  local at, outstanding, lapsed = account.seen, outstanding_of(account), 0
  for _, lease in ipairs(sorted(account.leases)) do
    if lease.till > now then
      break
    end
    for _, count in ipairs(account.counts) do
      pass_count(count, math.max(lease.till - at, 0), outstanding)
      note(count, count.algorithm == 'f' and lease.till - 1 or lease.till, lease.count)
    end
    at = math.max(at, lease.till)
    outstanding = outstanding - lease.count
    lapsed = lapsed + lease.count
  end
  for key, lease in pairs(account.leases) do
    if lease.till <= now then
      account.leases[key] = nil
    end
  end
  for key, till in pairs(account.owed) do
    if till <= now then
      account.owed[key] = nil
    end
  end
  for _, count in ipairs(account.counts) do
    pass_count(count, now - at, outstanding)
    prune(count, now)
  end
  account.seen = now
  return lapsed
end

local function new_count(quota, now, outstanding)
  local count = { algorithm = quota.algorithm, window = quota.window, nth = quota.nth, asked = now }
  if count.algorithm == 'f' then
    count.index, count.used = math.floor(now / quota.window), 0
  elseif count.algorithm == 's' then
    count.parts = {}
  else
    count.requests, count.debt = quota.requests, outstanding
  end
  return count
end

-- Gives each quota its count, made where there is none yet. Others go once they are abandoned.
local function open(account, quotas)
  local now, outstanding = account.seen, outstanding_of(account)
  local function quota_of(count)
    for _, quota in ipairs(quotas) do
      if quota.algorithm == count.algorithm and quota.window == count.window and quota.nth == count.nth then
        return quota
      end
    end
  end
  local kept = {}
  for _, count in ipairs(account.counts) do
    local quota = quota_of(count)
    if quota then
      quota.count = count
      count.asked = now
      count.requests = count.requests and quota.requests
    end
    if quota or now < count.asked + 2 * count.window then
      kept[#kept + 1] = count
    end
  end
  for _, quota in ipairs(quotas) do
    if quota.algorithm ~= 'i' and not quota.count then
      quota.count = new_count(quota, now, outstanding)
      kept[#kept + 1] = quota.count
    end
  end
  for i = #kept, 1, -1 do
    if #kept <= MAX_COUNTS then
      break
    end
    -- The oldest first.
    for place, count in ipairs(kept) do
      if not quota_of(count) then
        table.remove(kept, place)
        break
      end
    end
  end
  account.counts = kept
end

-- Ends these leases. Answers how many come back.
local function settle(account, settled)
  local returned = 0
  for _, one in ipairs(settled) do
    local lease = account.leases[one.key]
    if lease then
      account.leases[one.key] = nil
      local used = math.min(lease.count, one.used)
      for _, count in ipairs(account.counts) do
        note(count, account.seen, used)
        if count.debt then
          count.debt = count.debt - (lease.count - used)
        end
      end
      returned = returned + lease.count - used
    end
  end
  return returned
end

-- How many of the quota can be leased.
local function left_of(account, quota)
  local count = quota.count
  if count and count.debt then
    return math.max(math.floor(quota.size - count.debt), 0)
  end
  return math.max(quota.requests - ((count and used_of(count) or 0) + outstanding_of(account)), 0)
end

-- So many milliseconds, whole ones: after these it is there, for all the rounding of what flows in.
local function whole(millis)
  return millis > 0 and math.ceil(millis + 1e-6) or 0
end

-- In how many milliseconds so many flow into the bucket.
local function refill(count, tokens)
  return math.min(whole(tokens / (count.requests / count.window)), LONGEST)
end

-- When how many fall out of the sliding window, the leases used up at their ends.
local function releases(count, leases)
  local all, part = {}, part_of(count)
  for _, used in ipairs(count.parts) do
    all[#all + 1] = {used[1] * part + count.window, used[2]}
  end
  for _, lease in ipairs(leases) do
    all[#all + 1] = {math.ceil(lease.till / part) * part + count.window, lease.count}
  end
  return all
end

-- In how many milliseconds there is more.
local function reset_of(quota, now, leases)
  local count = quota.count
  if not count then
    return leases[1] and leases[1].till - now or 0
  elseif count.algorithm == 'f' then
    return (count.used > 0 or leases[1]) and (count.index + 1) * count.window - now or 0
  elseif count.algorithm == 's' then
    local first = releases(count, leases)[1]
    return first and first[1] - now or 0
  end
  return refill(count, count.debt)
end

-- In how many milliseconds there are `lacking` in the bucket, even if all leases are used up.
local function retry_bucket(quota, lacking, now, leases, outstanding)
  local count, target = quota.count, quota.size - lacking
  local debt, at, rate = count.debt, now, quota.requests / count.window
  for _, lease in ipairs(leases) do
    if outstanding <= target and at + whole((debt - target) / rate) <= lease.till then
      break
    end
    debt = math.max(debt - rate * (lease.till - at), outstanding)
    outstanding = outstanding - lease.count
    at = lease.till
  end
  return math.min(debt <= target and at - now or at - now + refill(count, debt - target), LONGEST)
end

-- The same for any quota that has a count.
local function retry_of(quota, lacking, now, leases)
  local count, outstanding = quota.count, 0
  for _, lease in ipairs(leases) do
    outstanding = outstanding + lease.count
  end
  lacking = math.min(lacking, quota.size)
  if count.debt then
    return retry_bucket(quota, lacking, now, leases, outstanding)
  end
  local deficit = lacking + used_of(count) + outstanding - quota.requests
  if deficit <= 0 then
    return 0
  elseif count.algorithm == 'f' then
    return (count.index + 1) * count.window - now
  end
  for _, release in ipairs(releases(count, leases)) do
    deficit = deficit - release[2]
    if deficit <= 0 then
      return release[1] - now
    end
  end
  return count.window
end

-- How long a lease of so many of the quota may last at most.
local function lifetime_of(quota, taken, now, is_scarce)
  local count = quota.count
  local full = count.debt and quota.size * quota.window / quota.requests or quota.window
  local longest = USUAL_LEASE
  if not is_scarce then
    longest = math.min(math.max(math.floor(WHOLE_LEASE * quota.size / taken), USUAL_LEASE), MAX_LEASE)
  end
  local lifetime = math.min(math.max(math.floor(full / 4), SHORTEST_LEASE), longest)
  if is_scarce then
    lifetime = math.max(math.floor(lifetime / 4), SHORTEST_LEASE)
  end
  if count.algorithm == 'f' then
    lifetime = math.min(lifetime, (count.index + 1) * count.window - now - 1)
  end
  return lifetime
end

-- Records a lease, unless it has nothing, and answers it.
local function take(account, key, taken, quotas)
  local lease = { count = taken, till = account.seen }
  if taken == 0 then
    return lease
  end
  for _, count in ipairs(account.counts) do
    count.debt = count.debt and count.debt + taken
  end
  account.leases[key] = lease
  local is_scarce, lifetime = false, nil
  for _, quota in ipairs(quotas) do
    is_scarce = is_scarce or (quota.count ~= nil and left_of(account, quota) * 4 < quota.size)
  end
  for _, quota in ipairs(quotas) do
    if quota.count then
      lifetime = math.min(lifetime or LONGEST, lifetime_of(quota, taken, account.seen, is_scarce))
    end
  end
  lease.till = account.seen + (lifetime or SLOTS_LEASE)
  return lease
end

-- How many are leased, and how many there were: to the call as it comes first, or again.
local function grant(account, ask)
  local kept = ask.quotas[1].algorithm == 'i' and ask.kept or 0
  local before = account.leases[ask.key]
  if before then
    local granted = math.max(before.count - kept, 0)
    return before, granted, granted
  end
  if ask.owed > 0 and not account.owed[ask.key] then
    account.owed[ask.key] = account.seen + OWED_KNOWN
    for _, count in ipairs(account.counts) do
      note(count, account.seen, ask.owed)
      count.debt = count.debt and count.debt + ask.owed
    end
  end
  local left
  for _, quota in ipairs(ask.quotas) do
    left = math.min(left or math.huge, math.max(left_of(account, quota) - kept, 0))
  end
  local granted = left
  if ask.need <= left then
    granted = ask.need + math.min(math.max(ask.want - ask.need, 0), math.floor((left - ask.need) / 3))
  end
  return take(account, ask.key, kept + granted, ask.quotas), granted, left
end

-- Settles, and leases what there is. `ask` has the lease's `key`, `settled` (of each the key, and how many
-- were `used`), `owed`, `kept`, `need`, `want` and `quotas`.
local function step(account, now, ask)
  local lapsed = pass(account, now)
  now = account.seen
  open(account, ask.quotas)
  local returned = settle(account, ask.settled)
  local own, granted, had = grant(account, ask)
  local leases, outstanding, soonest = sorted(account.leases), 0, nil
  for key, lease in pairs(account.leases) do
    if key ~= ask.key then
      outstanding = outstanding + lease.count
      soonest = math.min(soonest or math.huge, lease.till)
    end
  end
  local wanted, retry, states = math.max(ask.need, 1), 0, {}
  for _, quota in ipairs(ask.quotas) do
    if had < wanted then
      local this = quota.count and retry_of(quota, wanted - granted, now, leases) or (soonest or own.till) - now
      retry = math.max(retry, this)
    end
    states[#states + 1] = left_of(account, quota)
    states[#states + 1] = reset_of(quota, now, leases)
  end
  local again = soonest and math.min(retry, math.max(soonest - now, SHORTEST_LEASE)) or retry
  if ask.quotas[1].algorithm == 'i' then
    again = math.min(again, SLOTS_AGAIN)
  end
  local reply = {granted, own.till - now, outstanding, retry, again, returned, lapsed}
  for _, state in ipairs(states) do
    reply[#reply + 1] = state
  end
  return reply
end

-- When the account is as if new, unless more is asked of it.
local function over(account)
  local leases = sorted(account.leases)
  local last = leases[#leases] and leases[#leases].till
  local latest = last or account.seen
  for _, count in ipairs(account.counts) do
    local this = 0
    if count.algorithm == 'f' then
      this = count.used > 0 and (count.index + 1) * count.window or 0
      this = math.max(this, last and math.ceil(last / count.window) * count.window or 0)
    elseif count.algorithm == 's' then
      local all = releases(count, leases)
      this = all[1] and all[#all][1] or 0
    else
      this = math.max(last or 0, account.seen) + refill(count, count.debt)
    end
    latest = math.max(latest, this)
  end
  return latest
end
