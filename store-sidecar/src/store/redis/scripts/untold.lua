-- Reads which sessions an operation has ended that nobody may have been told of.
-- Atomic, because it reads one key.
--
-- KEYS[1]  what nobody may have been told of
-- ARGV[1]  the operation
-- Reply    ids, each followed by when it would have ended by itself
local reply = {}
for _, one in ipairs(untold(KEYS[1], ARGV[1])) do
  reply[#reply + 1] = one[1]
  reply[#reply + 1] = one[2]
end
return reply
