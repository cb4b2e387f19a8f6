-- Reads what is kept of a session's refresh tokens, and the time at which it was so.
-- Atomic, because whether the session has ended follows from its record and the time.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- Reply    the time; the text, nil where there is none, or where the session has ended
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
local t = now()
if not s or is_final(status_at(s, t)) then
  return {t, false}
end
return {t, redis.call('HGET', KEYS[1], 'refresh')}
