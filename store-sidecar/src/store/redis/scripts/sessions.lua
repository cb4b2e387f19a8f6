-- Reads those sessions of a user that have not ended, of the ones that the caller names, and drops the others from the
-- index.
-- Atomic, because a session and the index must agree.
--
-- KEYS[1]  the user's index
-- KEYS[2…] the sessions
-- ARGV[1]  user id
-- ARGV[2…] the ids of the sessions, in their order
-- Reply    the time, then for each session its id, and its fields and values
local t = now()
local reply = {t}
for i = 2, #KEYS do
  local s, failure = load(KEYS[i])
  if failure then
    return failure
  end
  if s and s.user_id == ARGV[1] and not is_final(status_at(s, t)) then
    reply[#reply + 1] = {ARGV[i], redis.call('HGETALL', KEYS[i])}
  else
    -- Where Redis refuses to write, it is dropped another time.
    redis.pcall('ZREM', KEYS[1], ARGV[i])
  end
end
return reply
