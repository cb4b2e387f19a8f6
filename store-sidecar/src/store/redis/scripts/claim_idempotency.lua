-- Keeps a text where nothing is kept.
-- Atomic, because of two who come at once one alone may find nothing, and a record without its end would stay for ever.
--
-- KEYS[1]  the record
-- ARGV[1]  the text
-- ARGV[2]  for how many milliseconds
-- Reply    what was kept before; nil where nothing was
local kept = redis.call('GET', KEYS[1])
if not kept then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return kept
