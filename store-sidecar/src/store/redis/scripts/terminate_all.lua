-- Ends those sessions of a user that the caller names, and lists the others.
-- Atomic, because a session that is created meanwhile must be listed, or begin afterwards.
--
-- KEYS[1]  the user's index; its sessions' keys, in the same slot, follow from its members
-- ARGV[1]  user id
-- ARGV[2]  what the names of sessions begin with, in this slot
-- ARGV[3]  seconds that they stay known
-- ARGV[4…] ids of those to end
-- Reply    the time, how many ended, then for each other session its id, and its fields and values
local t = now()
local retention = tonumber(ARGV[3])
local named = {}
for i = 4, #ARGV do
  named[ARGV[i]] = true
end
local reply = {t, 0}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local s, failure = load(key)
  if failure then
    return failure
  end
  -- An index is one user's alone, so whatever else it holds has ended.
  if not s or s.user_id ~= ARGV[1] or is_final(status_at(s, t)) then
    redis.call('ZREM', KEYS[1], id)
  elseif named[id] then
    terminate(key, s, t, retention)
    redis.call('ZREM', KEYS[1], id)
    reply[2] = reply[2] + 1
  else
    reply[#reply + 1] = {id, redis.call('HGETALL', key)}
  end
end
return reply
