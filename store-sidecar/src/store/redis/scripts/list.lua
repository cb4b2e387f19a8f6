-- Lists the sessions of a user that have not ended, and drops from the index those that have.
-- Atomic, because the list must be one that was true at one moment.
--
-- KEYS[1]  the user's index; its sessions' keys, in the same slot, follow from its members
-- ARGV[1]  user id
-- ARGV[2]  what the names of sessions begin with, in this slot
-- Reply    the time, then for each session its id, and its fields and values
local t = now()
tidy(KEYS[1], t)
local reply = {t}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[2] .. id
  local s, failure = load(key)
  if failure then
    return failure
  end
  if s and s.user_id == ARGV[1] and not is_final(status_at(s, t)) then
    reply[#reply + 1] = {id, redis.call('HGETALL', key)}
  else
    redis.call('ZREM', KEYS[1], id)
  end
end
return reply
