-- Ends those sessions of a user that the caller names, and says which others the index has.
-- Atomic, because a session that is created meanwhile must be among these, or begin afterwards.
--
-- KEYS[1]  the user's index
-- KEYS[2…] the sessions to end
-- ARGV[1]  user id
-- ARGV[2]  seconds that they stay known
-- ARGV[3]  the operation
-- ARGV[4…] the ids of the sessions to end, in their order
-- Reply    how many were ended by this operation, then the ids of the others
local t = now()
local ended = 0
for i = 2, #KEYS do
  local s, failure = load(KEYS[i])
  if failure then
    return failure
  end
  if s and s.user_id == ARGV[1] then
    if not is_final(status_at(s, t)) then
      terminate(KEYS[i], s, t, tonumber(ARGV[2]), ARGV[3])
      ended = ended + 1
    elseif s.status == 'terminated' and s.op == ARGV[3] then
      ended = ended + 1
    end
  end
  redis.call('ZREM', KEYS[1], ARGV[i + 2])
end
tidy(KEYS[1], t)
local reply = redis.call('ZRANGE', KEYS[1], 0, -1)
table.insert(reply, 1, ended)
return reply
