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
-- ARGV[9]  the operation
-- ARGV[10] its scopes after a plus, blank between two; empty: none
-- ARGV[11] the latest cut-off of the user that the caller knows of
-- ARGV[12] how many sessions the user may have; 0: any number
-- ARGV[13] how many must end for one at most
-- ARGV[14] seconds that a token lives at most
-- ARGV[15] its class; empty: none
-- ARGV[16] 1: a browser may keep its cookie; else empty
-- ARGV[17…] ids of the sessions that end
-- Reply    the time and its generation; or, where there is no room, of each session that would have to end the id,
--          and when it expires; nil where the id exists already, but not by this operation
if redis.call('EXISTS', KEYS[1]) == 1 then
  local s, failure = load(KEYS[1], KEYS[3])
  if failure then
    return failure
  end
  return s.op == ARGV[9] and s.created_at and {s.created_at, s.generation} or false
end
local t = now()
local max, floor = tonumber(ARGV[12]), tonumber(ARGV[11])
local g = math.max(generation(KEYS[3], ARGV[3]), floor)
-- The first to be written: where Redis' memory is full nothing is, and nobody is told who would have to make room.
note_cut_off(KEYS[3], ARGV[3], g, floor)
keep_cut_offs(KEYS[3], t + tonumber(ARGV[5]) + tonumber(ARGV[14]))
-- What is over need not end.
local first = '(' .. t
local named, leaving = {}, 0
for i = 17, #ARGV do
  named[ARGV[i]] = true
  local expires_at = redis.call('ZSCORE', KEYS[2], ARGV[i])
  if expires_at and tonumber(expires_at) > t then
    leaving = leaving + 1
  end
end
if max > 0 then
  local over = math.min(redis.call('ZCOUNT', KEYS[2], first, '+inf') + 1 - max, tonumber(ARGV[13]))
  local missing = over - leaving
  if missing > 0 then
    local reply = {'crowded'}
    -- Those that are named may be among the oldest, and need not be.
    local enough = missing + #ARGV - 16
    local oldest = redis.call('ZRANGE', KEYS[2], first, '+inf', 'BYSCORE', 'LIMIT', 0, enough, 'WITHSCORES')
    for i = 1, #oldest, 2 do
      if not named[oldest[i]] and #reply <= missing then
        reply[#reply + 1] = {oldest[i], tonumber(oldest[i + 1])}
      end
    end
    return reply
  end
end
local leave = {}
for i = 17, #ARGV do
  local s, failure = load(KEYS[i - 13], KEYS[3])
  if failure then
    return failure
  end
  leave[i] = s and s.user_id == ARGV[2] and s
end
local expires_at = t + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'format', '1', 'user_id', ARGV[2], 'index', ARGV[3], 'status', ARGV[4],
  'version', 1, 'created_at', t, 'last_activity', t, 'expires_at', expires_at, 'data', ARGV[7], 'op', ARGV[9],
  'generation', string.format('%.0f', g))
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'idle_timeout', ARGV[6])
end
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[1], 'scopes', string.sub(ARGV[10], 2))
end
if ARGV[15] ~= '' then
  redis.call('HSET', KEYS[1], 'class', ARGV[15])
end
if ARGV[16] ~= '' then
  redis.call('HSET', KEYS[1], 'persistent', ARGV[16])
end
redis.call('EXPIREAT', KEYS[1], expires_at + tonumber(ARGV[8]))
for i, s in pairs(leave) do
  if s then
    local status = status_at(s, t)
    if not is_final(status) or (status == 'terminated' and s.cut_off) then
      terminate(KEYS[i - 13], s, t, tonumber(ARGV[8]), ARGV[9])
    end
    redis.call('ZREM', KEYS[2], ARGV[i])
  end
end
redis.call('ZADD', KEYS[2], expires_at, ARGV[1])
tidy(KEYS[2], t)
return {t, g}
