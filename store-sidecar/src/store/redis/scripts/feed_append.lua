-- Puts entries at the end of the change feed, and drops what is too old to concern any token.
-- Atomic, because entries must not be told apart from the place of the last one, by which a reader
-- finds out that some are missing.
--
-- KEYS[1]  the feed's epoch
-- KEYS[2]  the feed's log
-- ARGV[1]  id of the epoch that begins if there is none
-- ARGV[2]  the longest life of an entry, in seconds
-- ARGV[3…] of each entry: until when it is of use, and the change as JSON
-- Reply    the place of the last one
local t = now()
local feed, failure = load_feed(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]), t)
if failure then
  return failure
end
for i = 3, #ARGV, 2 do
  local till = math.min(tonumber(ARGV[i]), t + feed.horizon)
  feed.last = redis.call('XADD', KEYS[2], '*', 'until', till, 'change', ARGV[i + 1])
end
local oldest = string.format('%.0f-0', (t - feed.horizon) * 1000)
if before(feed.trimmed, oldest) then
  redis.call('XTRIM', KEYS[2], 'MINID', oldest)
  feed.trimmed = oldest
end
redis.call('HSET', KEYS[1], 'last', feed.last, 'trimmed', feed.trimmed)
keep_feed(KEYS[1], KEYS[2], feed)
return feed.last
