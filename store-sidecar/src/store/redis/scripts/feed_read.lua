-- Reads a part of the change feed. Begins a new epoch where there is none, and where the place that
-- the reader knows is not there although nothing removed it: then this Redis has lost entries.
-- Atomic, because the end of the feed must be that of the moment at which the entries were read.
--
-- KEYS[1]  the feed's epoch
-- KEYS[2]  the feed's log
-- ARGV[1]  id of the epoch that begins if need be
-- ARGV[2]  the longest life of an entry, in seconds
-- ARGV[3]  id of the epoch that the reader knows; empty: none
-- ARGV[4]  the place that it knows in that epoch
-- ARGV[5]  how many entries at most
-- Reply    the time, the epoch's id and beginning, the end of the feed, and the entries
local t = now()
local feed, failure = load_feed(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), t)
if failure then
  return failure
end
local after = '0-0'
if ARGV[3] == feed.id then
  after = ARGV[4]
  local lost = before(feed.last, after)
  if not lost and after ~= '0-0' and not before(after, feed.trimmed) then
    lost = #redis.call('XRANGE', KEYS[2], after, after) == 0
  end
  if lost then
    begin(KEYS[1], KEYS[2], ARGV[1], t)
    feed, failure = load_feed(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), t)
    if failure then
      return failure
    end
    after = '0-0'
  end
end
if redis.call('TTL', KEYS[1]) < 1.5 * feed.horizon then
  keep_feed(KEYS[1], KEYS[2], feed)
end
local entries = {}
if after ~= feed.last then
  entries = redis.call('XRANGE', KEYS[2], '(' .. after, '+', 'COUNT', ARGV[5])
end
return {t, feed.id, feed.since, feed.last, entries}
