-- Stores a new session and enters it into its user's index, if there is room for it.
-- Atomic, because a session that the index lacks would escape the bound, and one of the wrong generation a cut-off.
--
-- KEYS[1]  the session
-- KEYS[2]  its user's index
-- KEYS[3]  how far the generations of sessions have come
-- KEYS[4…] sessions that end to make room
-- ARGV[1]  session id
-- ARGV[2]  user id
-- ARGV[3]  name of the index: the hash of the user id
-- ARGV[4]  status
-- ARGV[5]  seconds until it expires
-- ARGV[6]  seconds that it may be idle; empty: for ever
-- ARGV[7]  the rest, as JSON
-- ARGV[8]  seconds that it stays known afterwards
-- ARGV[9]  its scopes after a plus, blank between two; empty: none
-- ARGV[10] the latest cut-off of the user that the caller knows of
-- ARGV[11] how many sessions the user may have; 0: any number
-- ARGV[12] how many must end for one at most
-- ARGV[13] seconds that a token lives at most
-- ARGV[14…] ids of the sessions that end
-- Reply    the time and its generation; or, where there is no room, of each session that would have to end the id,
--          and when it expires; nil where the id exists already
if redis.call('EXISTS', KEYS[1]) == 1 then
  return false
end
local t = now()
tidy(KEYS[2], t)
local max, floor = tonumber(ARGV[11]), tonumber(ARGV[10])
local named = {}
local leaving = 0
for i = 14, #ARGV do
  named[ARGV[i]] = true
  if redis.call('ZSCORE', KEYS[2], ARGV[i]) then
    leaving = leaving + 1
  end
end
if max > 0 then
  local over = math.min(redis.call('ZCARD', KEYS[2]) + 1 - max, tonumber(ARGV[12]))
  if leaving < over then
    local reply = {'crowded'}
    local oldest = redis.call('ZRANGE', KEYS[2], 0, over - 1, 'WITHSCORES')
    for i = 1, #oldest, 2 do
      if not named[oldest[i]] then
        reply[#reply + 1] = {oldest[i], tonumber(oldest[i + 1])}
      end
    end
    return reply
  end
end
for i = 14, #ARGV do
  local key = KEYS[i - 10]
  local s, failure = load(key, KEYS[3])
  if failure then
    return failure
  end
  if s and s.user_id == ARGV[2] then
    if s.cut_off or not is_final(status_at(s, t)) then
      terminate(key, s, t, tonumber(ARGV[8]))
    end
    redis.call('ZREM', KEYS[2], ARGV[i])
  end
end
if floor > ended_before(KEYS[3], ARGV[3]) then
  note_cut_off(KEYS[3], ARGV[3], floor, floor)
end
local g = generation(KEYS[3], ARGV[3])
local expires_at = t + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'format', '1', 'user_id', ARGV[2], 'index', ARGV[3], 'status', ARGV[4],
  'version', 1, 'created_at', t, 'last_activity', t, 'expires_at', expires_at, 'data', ARGV[7])
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'idle_timeout', ARGV[6])
end
if ARGV[9] ~= '' then
  redis.call('HSET', KEYS[1], 'scopes', string.sub(ARGV[9], 2))
end
if g > 0 then
  redis.call('HSET', KEYS[1], 'generation', string.format('%.0f', g))
end
redis.call('EXPIREAT', KEYS[1], expires_at + tonumber(ARGV[8]))
redis.call('ZADD', KEYS[2], expires_at, ARGV[1])
tidy(KEYS[2], t)
keep_cut_offs(KEYS[3], expires_at + tonumber(ARGV[13]))
return {t, g}
