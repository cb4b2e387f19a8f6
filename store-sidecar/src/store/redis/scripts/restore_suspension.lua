-- Suspends a session whose suspension has been lost.
-- Atomic, because one that has ended or changed since must stay as it is.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  the version that it had when it was suspended
-- Reply    OK
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
if s and s.version < tonumber(ARGV[1]) and not is_final(status_at(s, now())) then
  redis.call('HSET', KEYS[1], 'status', 'suspended', 'version', ARGV[1])
end
return redis.status_reply('OK')
