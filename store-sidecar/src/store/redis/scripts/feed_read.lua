-- Reads a part of the change feed. Begins a new epoch where there is none, and where the place that
-- the reader knows is not there although nothing removed it: then this Redis has lost entries.
-- Atomic, because the end of the feed must be that of the moment at which the entries were read.
--
-- KEYS[1]  the feed's epoch
-- KEYS[2]  the feed's log
-- KEYS[3]  the rules that stand
-- ARGV[1]  id of the epoch that begins if need be
-- ARGV[2]  the longest life of an entry, in seconds
-- ARGV[3]  id of the epoch that the reader knows; empty: none
-- ARGV[4]  the place that it knows in that epoch
-- ARGV[5]  how many entries of the log at most
-- Reply    the time, the epoch's id and beginning, the end of the feed, the entries, and before them,
--          for who reads from the start, the rules that are in the log no more: place, end and change
local keys = { epoch = KEYS[1], log = KEYS[2], rules = KEYS[3] }
local t = now()
local feed, failure = load_feed(keys, ARGV[1], tonumber(ARGV[2]), t)
if failure then
  return failure
end
local after = '0-0'
if ARGV[3] == feed.id then
  after = ARGV[4]
  local lost = before(feed.last, after)
  if not lost and after ~= '0-0' and not before(after, feed.trimmed) then
    lost = #redis.call('XRANGE', keys.log, after, after) == 0
  end
  if lost then
    begin(keys, ARGV[1], t)
    feed, failure = load_feed(keys, ARGV[1], tonumber(ARGV[2]), t)
    if failure then
      return failure
    end
    after = '0-0'
  end
end
if redis.call('TTL', keys.epoch) < 1.5 * feed.horizon then
  keep_feed(keys, feed)
end
local entries = {}
if after ~= feed.last then
  entries = redis.call('XRANGE', keys.log, '(' .. after, '+', 'COUNT', ARGV[5])
end
local rules = {}
if after == '0-0' then
  local first = entries[1] and entries[1][1]
  local stored = redis.call('HGETALL', keys.rules)
  for i = 1, #stored, 2 do
    local place, till, change = standing(stored[i + 1])
    if not place then
      return redis.error_reply('SGFORMAT a rule that stands cannot be read')
    end
    if tonumber(till) <= t then
      redis.call('HDEL', keys.rules, stored[i])
    elseif not first or before(place, first) then
      rules[#rules + 1] = {place, till, change}
    end
  end
  table.sort(rules, function(a, b)
    return before(a[1], b[1])
  end)
end
return {t, feed.id, feed.since, feed.last, entries, rules}
