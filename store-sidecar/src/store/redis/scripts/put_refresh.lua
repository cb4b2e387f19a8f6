-- Replaces what is kept of a session's refresh tokens, if that is still what was read, and notes the session's activity.
-- Atomic, because of any number of refreshes one must win, and none may succeed of a session that has ended.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  the text that was read; empty: none
-- ARGV[2]  the text in its place
-- ARGV[3]  how old the last activity may grow before it is written again, in seconds
-- Reply    done, changed (another text is there), unknown (there is no such session), or the session's status
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
if not s then
  return 'unknown'
end
local t = now()
local status = status_at(s, t)
if status ~= 'active' and status ~= 'pending_2fa' then
  return status
end
local stored = redis.call('HGET', KEYS[1], 'refresh') or ''
if stored ~= ARGV[2] then
  if stored ~= ARGV[1] then
    return 'changed'
  end
  redis.call('HSET', KEYS[1], 'refresh', ARGV[2])
end
return note_activity(KEYS[1], s, status, t, tonumber(ARGV[3])) or 'done'
