-- Prepares the end of all sessions that a user has: those that begin from now on are of a later generation.
-- Atomic, because a session that begins meanwhile must be of one generation or the other, and because a session that is
-- to end by one cut-off must not be spared by another that begins before that is finished.
--
-- KEYS[1]  how far the generations of sessions have come
-- KEYS[2]  the user's index
-- KEYS[3]  the session that is to go on; absent: none that could be the user's
-- ARGV[1]  name of the index
-- ARGV[2]  user id
-- ARGV[3]  the latest cut-off that the caller knows of
-- ARGV[4]  seconds that a token lives at most
-- ARGV[5]  the id of the session that is to go on; empty: none
-- Reply    new; earlier: it is to end by that cut-off, which is to be finished first; none: it is not the user's or has
--          ended. Then the generation that begins with the cut-off, and the session that goes on (empty: none); how many
--          sessions the index has, and when the last of them expires; the time
local t = now()
-- A write that takes no memory comes first, so that sessions end even where Redis' memory is full.
tidy(KEYS[2], t)
local latest = latest_expiry(KEYS[2])
local function reply(beginning, g, except)
  return {beginning, g, except, redis.call('ZCARD', KEYS[2]), latest, t}
end
local spared
if ARGV[5] ~= '' then
  local failure
  if KEYS[3] then
    spared, failure = live(KEYS[3], KEYS[1], ARGV[2], t)
  end
  if not spared then
    return failure or reply('none', 0, '')
  end
  local begun = redis.call('HMGET', KEYS[1], ARGV[1] .. ':begun', ARGV[1] .. ':except')
  local before = tonumber(begun[1] or '')
  if before and spared.generation < before then
    return reply('earlier', before, begun[2] or '')
  end
end
local floor = tonumber(ARGV[3])
local g = math.max(generation(KEYS[1], ARGV[1]), floor) + 1
note_cut_off(KEYS[1], ARGV[1], g, floor)
redis.call('HSET', KEYS[1], ARGV[1] .. ':begun', string.format('%.0f', g), ARGV[1] .. ':except', ARGV[5])
keep_cut_offs(KEYS[1], math.max(t, latest) + tonumber(ARGV[4]))
if spared then
  spare(KEYS[3], spared, g)
end
return reply('new', g, ARGV[5])
