-- Ends all sessions of a user that are of an earlier generation, but for one.
-- Atomic, because that one must not end for a moment.
--
-- KEYS[1]  how far the generations of sessions have come
-- KEYS[2]  the user's index
-- KEYS[3]  the session that goes on; absent: none
-- ARGV[1]  name of the index
-- ARGV[2]  user id
-- ARGV[3]  sessions of a generation before this end
-- ARGV[4]  seconds that a token lives at most
-- Reply    OK
local t = now()
-- A write that takes no memory comes first, so that sessions end even where Redis' memory is full.
tidy(KEYS[2], t)
local before = tonumber(ARGV[3])
if KEYS[3] then
  local spared, failure = live(KEYS[3], KEYS[1], ARGV[2], t)
  if failure then
    return failure
  end
  if spared then
    spare(KEYS[3], spared, before)
  end
end
note_cut_off(KEYS[1], ARGV[1], before, before)
keep_cut_offs(KEYS[1], math.max(t, latest_expiry(KEYS[2])) + tonumber(ARGV[4]))
return redis.status_reply('OK')
