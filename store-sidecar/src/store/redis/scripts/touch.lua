-- Notes that sessions were used, where the stored activity is older than the resolution.
-- Atomic for each session, because one that has ended must not be changed.
--
-- KEYS     the sessions
-- ARGV[1]  how old the last activity may grow before it is written again, in seconds
-- Reply    OK
local t = now()
for _, key in ipairs(KEYS) do
  local s, failure = load(key)
  if failure then
    return failure
  end
  failure = s and note_activity(key, s, status_at(s, t), t, tonumber(ARGV[1]))
  if failure then
    return failure
  end
end
return redis.status_reply('OK')
