-- Stores a new session and enters it into its user's index, if there is room for it, and ends others where it is to make
-- room.
-- Atomic, because a session that the index lacks would escape the limit, one of the wrong generation a cut-off, and
-- because which sessions count and which end must be decided as the session begins: whoever else logs in meanwhile.
--
-- KEYS[1]  the session
-- KEYS[2]  its user's index
-- KEYS[3]  how far the generations of sessions have come
-- KEYS[4]  which sessions have ended that nobody may have been told of
-- KEYS[5]  the session that ends with this one's beginning, of which everybody has been told; else the session itself
-- KEYS[6…] sessions of the user that have been said to be in the way
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
-- ARGV[12] seconds that a token lives at most
-- ARGV[13] its class; empty: none
-- ARGV[14] 1: a browser may keep its cookie; else empty
-- ARGV[15] id of the session that ends with this one's beginning; empty: none
-- ARGV[16] how many sessions the user may have; 0: any number
-- ARGV[17] what happens where there is no room: deny, evict_oldest or notify
-- ARGV[18] 1: the caller has noted that sessions are about to end; else empty
-- ARGV[19] seconds for which a session counts that waits for its second factor
-- ARGV[20] how many sessions end in one step at most
-- ARGV[21] how many are looked at
-- ARGV[22] hash of the device that logs in, where the account knows it; else empty
-- ARGV[23] seconds for which a session of that device does not count
-- ARGV[24] how many of these do not count at most
-- ARGV[25…] ids of those that have been said to be in the way
-- Reply    created; full: the user has as many as allowed; partly: call again; not_noted: sessions would end; unknown:
--          sessions are in the way that were not named. Then the time, the generation, how many sessions the user has
--          beyond the limit, and of each session that has ended by this operation, or is in the way, the id, and when it
--          would have ended by itself. Nil where the id exists already, but not by this operation
local op = ARGV[9]
if redis.call('EXISTS', KEYS[1]) == 1 then
  local s, failure = load(KEYS[1], KEYS[3])
  if failure then
    return failure
  end
  return s.op == op and s.created_at and {'created', s.created_at, s.generation, 0, untold(KEYS[4], op)} or false
end
local t = now()
local retention, horizon = tonumber(ARGV[8]), tonumber(ARGV[12])
local floor, replaced = tonumber(ARGV[11]), ARGV[15]
local g = math.max(generation(KEYS[3], ARGV[3]), floor)
-- The first to be written: where Redis' memory is full nothing is, and nothing ends.
note_cut_off(KEYS[3], ARGV[3], g, floor)
keep_cut_offs(KEYS[3], t + tonumber(ARGV[5]) + horizon)
-- What is over does not count.
local first = '(' .. t

-- Sessions that are in the way.
local function in_the_way()
  local found = redis.call('ZRANGE', KEYS[2], first, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[21], 'WITHSCORES')
  local reply = {}
  for i = 1, #found, 2 do
    if found[i] ~= replaced then
      reply[#reply + 1] = {found[i], found[i + 1]}
    end
  end
  return {'unknown', t, 0, 0, reply}
end

-- Whether the device that logs in has just begun that session: a form was sent twice.
local function is_twin(s, key)
  return ARGV[22] ~= '' and t - (s.created_at or 0) < tonumber(ARGV[23]) and redis.call('HGET', key, 'device') == ARGV[22]
end

-- Which of the named sessions count, which have waited for their second factor for too long, and how many others there are
-- that expire among the first (they have begun since), and after them. What has ended leaves the index. Nil and an error
-- reply where one cannot be read.
local function look()
  local named = {}
  for i = 6, #KEYS do
    named[ARGV[i + 19]] = KEYS[i]
  end
  local ids = redis.call('ZRANGE', KEYS[2], first, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[21])
  local more = redis.call('ZCOUNT', KEYS[2], first, '+inf') - #ids
  local counting, stale, new, twins = {}, {}, 0, 0
  for _, id in ipairs(ids) do
    local key = named[id]
    local s, failure
    if key then
      s, failure = load(key, KEYS[3])
    end
    if failure then
      return nil, failure
    end
    local status = s and s.user_id == ARGV[2] and status_at(s, t)
    if not key then
      new = new + (id == replaced and 0 or 1)
    elseif not status or is_final(status) then
      if status == 'terminated' and s.cut_off then
        terminate(key, s, t, retention, s.op or '')
      end
      redis.pcall('ZREM', KEYS[2], id)
    elseif id ~= replaced then
      s.id, s.key = id, key
      if status == 'pending_2fa' and t - (s.created_at or t) >= tonumber(ARGV[19]) then
        stale[#stale + 1] = s
      elseif twins < tonumber(ARGV[24]) and is_twin(s, key) then
        twins = twins + 1
      else
        counting[#counting + 1] = s
      end
    end
  end
  return {counting = counting, stale = stale, new = new, more = more}
end

-- Those that were used the least recently, of two the one that was created first.
local function oldest(sessions, count)
  for _, s in ipairs(sessions) do
    s.made = tonumber(redis.call('HGET', s.key, 'made') or '') or (s.created_at or 0) * 1000000
  end
  table.sort(sessions, function(a, b)
    if a.last_activity ~= b.last_activity then
      return a.last_activity < b.last_activity
    end
    if a.made ~= b.made then
      return a.made < b.made
    end
    return a.id < b.id
  end)
  return {unpack(sessions, 1, math.min(count, #sessions))}
end

local outcome, beyond = 'created', 0
local listed = redis.call('ZCOUNT', KEYS[2], first, '+inf')
if replaced ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], replaced) or 0) > t then
  listed = listed - 1
end
local max = tonumber(ARGV[16])
if max > 0 and listed >= max then
  if not KEYS[6] then
    return in_the_way()
  end
  local found, failure = look()
  if failure then
    return failure
  end
  -- One that has begun since may be a twin.
  if ARGV[22] ~= '' and found.new > 0 then
    return in_the_way()
  end
  local leaving, over = found.stale, #found.counting + found.new + found.more + 1 - max
  if ARGV[17] == 'notify' then
    beyond = math.max(over, 0)
  elseif ARGV[17] == 'deny' then
    outcome = over > 0 and (#found.counting + found.new >= max and 'full' or 'partly') or outcome
  elseif over > 0 then
    -- What has begun since was used later than all of these.
    if over > #found.counting and #found.counting == 0 and #leaving == 0 then
      return in_the_way()
    end
    outcome = over > #found.counting and 'partly' or outcome
    for _, s in ipairs(oldest(found.counting, over)) do
      leaving[#leaving + 1] = s
    end
  end
  if #leaving > 0 and ARGV[18] ~= '1' then
    return {'not_noted', t, 0, 0, {}}
  end
  local at_once = tonumber(ARGV[20])
  if #leaving > at_once and outcome ~= 'full' then
    outcome = 'partly'
  end
  for i = 1, math.min(#leaving, at_once) do
    local s = leaving[i]
    terminate(s.key, s, t, retention, op)
    redis.call('ZREM', KEYS[2], s.id)
    redis.call('HSET', KEYS[4], s.id, string.format('%.0f %s', s.expires_at, op))
    redis.call('EXPIREAT', KEYS[4], t + horizon)
  end
  if outcome ~= 'created' then
    return {outcome, t, 0, 0, untold(KEYS[4], op)}
  end
end
local leave
if replaced ~= '' then
  local s, failure = load(KEYS[5], KEYS[3])
  if failure then
    return failure
  end
  leave = s and s.user_id == ARGV[2] and s
end
local expires_at = t + tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'format', '1', 'user_id', ARGV[2], 'index', ARGV[3], 'status', ARGV[4],
  'version', 1, 'created_at', t, 'last_activity', t, 'expires_at', expires_at, 'data', ARGV[7], 'op', op,
  'generation', string.format('%.0f', g), 'made', string.format('%.0f', now_micros()))
if ARGV[6] ~= '' then
  redis.call('HSET', KEYS[1], 'idle_timeout', ARGV[6])
end
if ARGV[10] ~= '' then
  redis.call('HSET', KEYS[1], 'scopes', string.sub(ARGV[10], 2))
end
if ARGV[13] ~= '' then
  redis.call('HSET', KEYS[1], 'class', ARGV[13])
end
if ARGV[14] ~= '' then
  redis.call('HSET', KEYS[1], 'persistent', ARGV[14])
end
if ARGV[22] ~= '' then
  redis.call('HSET', KEYS[1], 'device', ARGV[22])
end
redis.call('EXPIREAT', KEYS[1], expires_at + retention)
if leave then
  local status = status_at(leave, t)
  if not is_final(status) or (status == 'terminated' and leave.cut_off) then
    terminate(KEYS[5], leave, t, retention, op)
  end
  redis.call('ZREM', KEYS[2], replaced)
end
redis.call('ZADD', KEYS[2], expires_at, ARGV[1])
tidy(KEYS[2], t)
return {'created', t, g, beyond, untold(KEYS[4], op)}
