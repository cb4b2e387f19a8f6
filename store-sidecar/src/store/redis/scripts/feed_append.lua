-- Puts entries at the end of the change feed, and drops what is too old to concern any token. Rules that
-- last longer than the log stand beside it. Does so even where Redis' memory is full: that is what it is kept for.
-- Atomic, because entries must not be told apart from the place of the last one, by which a reader
-- finds out that some are missing; and because a rule must be found in the log or beside it.
--
-- KEYS[1]  the feed's epoch
-- KEYS[2]  the feed's log
-- KEYS[3]  of each rule that stands its place, by its id
-- KEYS[4]  the rules that stand, at their places
-- ARGV[1]  id of the epoch that begins if there is none
-- ARGV[2]  the longest life of an entry, in seconds
-- ARGV[3]  how many rules may stand
-- ARGV[4]  the end of a rule that has none
-- ARGV[5…] of each entry: until when it is of use; the change as JSON; and the id of the rule that it
--          adds, after a plus, or removes, after a minus, or nothing
-- Reply    the place of the last one; an error where too many rules would stand
local keys = { epoch = KEYS[1], log = KEYS[2], rules = KEYS[3], standing = KEYS[4] }
local t = now()
local feed, failure = load_feed(keys, ARGV[1], tonumber(ARGV[2]), t)
if failure then
  return failure
end
local latest, unlimited = t + feed.horizon, tonumber(ARGV[4])

-- Whether the entry at `i` adds a rule that must stand: its id.
local function stands(i)
  local id = string.match(ARGV[i + 2], '^%+(.*)$')
  return tonumber(ARGV[i]) > latest and id
end

local new = 0
for i = 5, #ARGV, 3 do
  local id = stands(i)
  if id and redis.call('HEXISTS', keys.rules, id) == 0 then
    new = new + 1
  end
end
if new > 0 and redis.call('HLEN', keys.rules) + new > tonumber(ARGV[3]) then
  for _, entry in ipairs(redis.call('XRANGE', keys.standing, '-', '+')) do
    local f = entry[2]
    if tonumber(f[2]) <= t then
      remove_standing(keys, f[6], entry[1])
    end
  end
  if redis.call('HLEN', keys.rules) + new > tonumber(ARGV[3]) then
    return redis.error_reply('SGFULL too many rules stand')
  end
end

-- Lets the rules live as long as the latest of them.
local function keep_standing(till, were_there)
  local ttl = redis.call('TTL', keys.standing)
  for _, key in ipairs({keys.rules, keys.standing}) do
    if till >= unlimited then
      redis.call('PERSIST', key)
    elseif not were_there or (ttl >= 0 and t + ttl < till) then
      redis.call('EXPIREAT', key, string.format('%.0f', till))
    end
  end
end

begin_writing(keys.epoch)
for i = 5, #ARGV, 3 do
  local till, change, rule = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local id = rule ~= '' and string.sub(rule, 2)
  if not id then
    till = string.format('%.0f', math.min(tonumber(till), latest))
  end
  feed.last = redis.call('XADD', keys.log, '*', 'until', till, 'change', change)
  local earlier = id and redis.call('HGET', keys.rules, id)
  local were_there = redis.call('EXISTS', keys.standing) == 1
  if earlier then
    remove_standing(keys, id, earlier)
  end
  if stands(i) then
    redis.call('XADD', keys.standing, feed.last, 'until', till, 'change', change, 'rule', id)
    redis.call('HSET', keys.rules, id, feed.last)
    keep_standing(tonumber(till), were_there)
  end
end
local oldest = string.format('%.0f-0', (t - feed.horizon) * 1000)
if before(feed.trimmed, oldest) then
  redis.call('XTRIM', keys.log, 'MINID', oldest)
  feed.trimmed = oldest
end
redis.call('HSET', keys.epoch, 'last', feed.last, 'trimmed', feed.trimmed)
keep_feed(keys, feed)
return feed.last
