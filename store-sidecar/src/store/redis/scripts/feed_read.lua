-- Reads a part of the change feed. Begins a new epoch where there is none, and where the place that
-- the reader knows is not there although nothing removed it: then this Redis has lost entries.
-- Atomic, because the end of the feed must be that of the moment at which the entries were read.
--
-- KEYS[1]  the feed's epoch
-- KEYS[2]  the feed's log
-- KEYS[3]  of each rule that stands its place, by its id
-- KEYS[4]  the rules that stand, at their places
-- ARGV[1]  id of the epoch that begins if need be
-- ARGV[2]  the longest life of an entry, in seconds
-- ARGV[3]  id of the epoch that the reader knows; empty: none
-- ARGV[4]  the place that it knows in that epoch
-- ARGV[5]  how many entries at most
-- Reply    the time, the epoch's id and beginning, the end of the feed, the place up to which this goes,
--          and the entries: first the rules that are in the log no more
local keys = { epoch = KEYS[1], log = KEYS[2], rules = KEYS[3], standing = KEYS[4] }
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
      and #redis.call('XRANGE', keys.standing, after, after) == 0
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
if redis.call('TTL', keys.epoch) < 1.5 * feed.horizon + REFUSED_FOR then
  -- A Redis that refuses to write is read all the same.
  pcall(keep_feed, keys, feed)
end
local entries = {}
if after == feed.last then
  return {t, feed.id, feed.since, feed.last, after, entries}
end
local room = tonumber(ARGV[5])
local cursor = feed.last
-- Who knows a place that the log still has knows all before it.
if after == '0-0' or before(after, feed.trimmed) then
  local first = first_place(keys.log)
  local rules = redis.call('XRANGE', keys.standing, '(' .. after, first and '(' .. first or '+', 'COUNT', room)
  for _, rule in ipairs(rules) do
    local f = rule[2]
    if f[1] ~= 'until' or not tonumber(f[2]) then
      return redis.error_reply('SGFORMAT a rule that stands cannot be read')
    end
    if tonumber(f[2]) > t then
      entries[#entries + 1] = rule
    else
      pcall(remove_standing, keys, f[6], rule[1])
    end
  end
  room = room - #rules
  if room == 0 then
    cursor = rules[#rules][1]
  end
end
if room > 0 then
  local logged = redis.call('XRANGE', keys.log, '(' .. after, '+', 'COUNT', room)
  for _, entry in ipairs(logged) do
    entries[#entries + 1] = entry
  end
  if #logged == room then
    cursor = logged[#logged][1]
  end
end
return {t, feed.id, feed.since, feed.last, cursor, entries}
