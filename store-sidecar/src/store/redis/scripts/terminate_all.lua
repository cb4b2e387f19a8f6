-- Ends all sessions of a user.
-- Atomic, because a session that is created meanwhile must either end too or begin afterwards.
--
-- KEYS[1]  the user's index; its sessions' keys, in the same slot, follow from its members
-- ARGV[1]  user id
-- ARGV[2]  what the names of sessions begin with, in this slot
-- ARGV[3]  seconds that they stay known
-- Reply    how many ended now
local t = now()
local retention = tonumber(ARGV[3])
local ended = 0
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local s, failure = load(key)
  if failure then
    return failure
  end
  if s and s.user_id == ARGV[1] and not is_final(status_at(s, t)) then
    terminate(key, s, t, retention)
    ended = ended + 1
  end
end
redis.call('DEL', KEYS[1])
return ended
