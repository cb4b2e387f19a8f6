-- Reads sessions of a user that are named, and drops from the index those that have ended.
-- Atomic, because a session that is dropped must have ended.
--
-- KEYS[1]  how far the generations of sessions have come
-- KEYS[2]  the user's index
-- KEYS[3…] sessions
-- ARGV[1]  user id
-- ARGV[2]  seconds that what ends by this stays known
-- ARGV[3]  read: those that have not ended are replied; active: the first that is active, and those behind it are not
--          looked at; sweep: none is
-- ARGV[4…] their ids
-- Reply    the time, how many were dropped, then for each session its id, and its fields and values
local t = now()
local reply = {t, 0}
for i = 3, #KEYS do
  local key, id = KEYS[i], ARGV[i + 1]
  local s, failure = load(key, KEYS[1])
  if failure then
    return failure
  end
  local status = s and s.user_id == ARGV[1] and status_at(s, t)
  if status and not is_final(status) then
    if ARGV[3] == 'read' or ARGV[3] == status then
      reply[#reply + 1] = {id, redis.call('HGETALL', key)}
    end
    if ARGV[3] == status then
      return reply
    end
  else
    if status == 'terminated' and s.cut_off then
      terminate(key, s, t, tonumber(ARGV[2]), s.op or '')
    end
    -- Where Redis refuses to write, it is dropped another time.
    local dropped = redis.pcall('ZREM', KEYS[2], id)
    reply[2] = reply[2] + (type(dropped) == 'number' and dropped or 0)
  end
end
return reply
