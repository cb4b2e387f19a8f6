-- Notes that sessions were used, where the stored activity is older than the resolution.
-- Atomic for each session, because one that has ended must not be changed.
--
-- KEYS     of each session its key, and how far the generations of sessions have come
-- ARGV[1]  how old the last activity may grow before it is written again, in seconds
-- Reply    OK
local t = now()
for i = 1, #KEYS, 2 do
  local key = KEYS[i]
  local s, failure = load(key, KEYS[i + 1])
  if failure then
    return failure
  end
  failure = s and note_activity(key, s, status_at(s, t), t, tonumber(ARGV[1]))
  if failure then
    return failure
  end
end
return redis.status_reply('OK')
