-- Reads what an opaque token says.
-- Atomic, because whether it has expired follows from its record and the time.
--
-- KEYS[1]  the token's record
-- Reply    its claims, as JSON; nil where there is none, or where it has expired
local f = redis.call('HMGET', KEYS[1], 'format', 'expires_at', 'claims')
if not f[1] then
  return false
end
local last = f[2] and tonumber(f[2])
if f[1] ~= '1' or not (last and f[3]) then
  return redis.error_reply('SGFORMAT a stored token cannot be read')
end
if last <= now() then
  return false
end
return f[3]
