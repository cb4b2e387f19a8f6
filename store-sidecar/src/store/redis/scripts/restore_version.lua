-- Gives a session what is known of a later version of it, which this store has lost.
-- Atomic, because one that has ended or changed since must stay as it is.
--
-- KEYS[1]  the session
-- KEYS[2]  how far the generations of sessions have come
-- ARGV[1]  the later version
-- ARGV[2]  1: it is suspended
-- ARGV[3]  its scopes after a plus, blank between two; a minus: it has none; empty: they were not changed
-- Reply    OK
local s, failure = load(KEYS[1], KEYS[2])
if failure then
  return failure
end
if s and s.version < tonumber(ARGV[1]) and not is_final(status_at(s, now())) then
  local ttl = redis.call('TTL', KEYS[1])
  -- What was taken away is so even where Redis' memory is full.
  begin_writing(KEYS[1])
  redis.call('HSET', KEYS[1], 'version', ARGV[1])
  if ARGV[2] == '1' then
    redis.call('HSET', KEYS[1], 'status', 'suspended')
  end
  if ARGV[3] == '-' then
    redis.call('HDEL', KEYS[1], 'scopes')
  elseif ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'scopes', string.sub(ARGV[3], 2))
  end
  if ttl > 0 then
    redis.call('EXPIRE', KEYS[1], ttl)
  end
end
return redis.status_reply('OK')
