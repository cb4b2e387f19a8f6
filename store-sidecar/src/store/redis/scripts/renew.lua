-- Gives the token of a session a successor, unless it has one.
-- Atomic, because of any number of candidates one must win, and none may be stored of a session that has ended. No use of
-- the session. Costs a read and a write of one session.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  user id
-- ARGV[2]  the renewal that is shown
-- ARGV[3]  the renewal that the candidate comes after
-- ARGV[4]  the candidate, sealed
-- Reply    stored, before (it has a successor), superseded (it is too old), unknown (the user has no such session), or the
--          session's status; 1 where a browser may keep its cookie; the successor that it has, sealed
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
if not s or s.user_id ~= ARGV[1] then
  return {'unknown', 0, false}
end
local status = status_at(s, now())
if status ~= 'active' and status ~= 'pending_2fa' then
  return {status, 0, false}
end
local f = redis.call('HMGET', KEYS[1], 'renewal', 'predecessor', 'successor', 'persistent')
local current, predecessor = tonumber(f[1] or 0) or 0, f[2] and tonumber(f[2])
local persistent = f[4] and 1 or 0
local shown, replaced = tonumber(ARGV[2]), tonumber(ARGV[3])
-- A token of a later renewal than is known here is believed: it is signed, and this has lost it.
if (shown == replaced and shown >= current) or (shown == predecessor and replaced == current) then
  redis.call('HSET', KEYS[1], 'renewal', string.format('%.0f', replaced + 1), 'predecessor', ARGV[2],
    'successor', ARGV[4])
  return {'stored', persistent, false}
end
if shown == predecessor and f[3] then
  return {'before', persistent, f[3]}
end
return {'superseded', persistent, false}
