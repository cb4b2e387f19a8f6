-- Says whether a verified token may still be used: the blacklist first, then its session. Notes the
-- session's activity where the stored one is older than the resolution.
-- Atomic, because between two reads the session could end or the token be revoked, and a check that
-- begins after either has been confirmed must see it.
--
-- KEYS[1]  the token's entry in the blacklist
-- KEYS[2]  its session; absent: it has none that could be its user's
-- KEYS[3]  how far the generations of sessions have come; there if the session is
-- ARGV[1]  user id
-- ARGV[2]  how old the last activity may grow before it is written again, in seconds
-- Reply    revoked, none (no session), unknown, or the session's status; of a session that may be used
--          also its version, its end, its generation, its idle timeout (nil: none) and its scopes (nil: none)
local t = now()
local last = redis.call('GET', KEYS[1])
-- An entry that cannot be read counts: in doubt the token is revoked.
if last and (tonumber(last) or math.huge) > t then
  return {'revoked'}
end
if not KEYS[2] then
  return {'none'}
end
local s, failure = load(KEYS[2], KEYS[3])
if failure then
  return failure
end
if not s or s.user_id ~= ARGV[1] then
  return {'unknown'}
end
local status = status_at(s, t)
local replica = note_activity(KEYS[2], s, status, t, tonumber(ARGV[2]))
if replica then
  return replica
end
if status ~= 'active' and status ~= 'pending_2fa' then
  return {status}
end
return {status, s.version, s.expires_at, s.generation, s.idle_timeout or false, s.scopes or false}
