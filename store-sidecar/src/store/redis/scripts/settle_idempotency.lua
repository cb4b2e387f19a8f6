-- Keeps another text in the place of one, or none.
-- Atomic, because a record whose time was over may be somebody else's by now.
--
-- KEYS[1]  the record
-- ARGV[1]  what must be kept for it
-- ARGV[2]  what is kept from then on; empty: nothing
-- ARGV[3]  for how many milliseconds
-- Reply    1 if that is so, else 0
local kept = redis.call('GET', KEYS[1]) or ''
if kept ~= ARGV[1] then
  return kept == ARGV[2] and 1 or 0
end
if ARGV[2] == '' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
