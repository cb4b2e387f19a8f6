-- Prepares the end of all sessions that a user has: those that begin from now on are of a later generation.
-- Atomic, because a session that begins meanwhile must be of one generation or the other.
--
-- KEYS[1]  how far the generations of sessions have come
-- KEYS[2]  the user's index
-- KEYS[3]  the session that is to go on; absent: none
-- ARGV[1]  name of the index
-- ARGV[2]  user id
-- ARGV[3]  the latest cut-off that the caller knows of
-- ARGV[4]  seconds that a token lives at most
-- Reply    the time; the generation that begins; how many sessions the index has, and when the last of them expires;
--          whether the one goes on (1 or 0)
local t = now()
-- A write that takes no memory comes first, so that sessions end even where Redis' memory is full.
tidy(KEYS[2], t)
local floor = tonumber(ARGV[3])
local g = math.max(generation(KEYS[1], ARGV[1]), floor) + 1
note_cut_off(KEYS[1], ARGV[1], g, floor)
local latest = latest_expiry(KEYS[2])
keep_cut_offs(KEYS[1], math.max(t, latest) + tonumber(ARGV[4]))
local spares = false
if KEYS[3] then
  local failure
  spares, failure = spare(KEYS[3], KEYS[1], ARGV[2], t, g)
  if failure then
    return failure
  end
end
return {t, g, redis.call('ZCARD', KEYS[2]), latest, spares and 1 or 0}
