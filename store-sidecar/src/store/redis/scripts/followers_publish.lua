-- Replaces what one replica of the sidecar says of the workers that follow it, and marks the records of others as gone
-- that have not been renewed in time.
-- Atomic, because the moment of the record is that of its writing; and because a replica that finds its record here
-- must know that nobody has marked it as gone before.
--
-- A record stays until it is marked, which takes a write: so whoever is refused to write its own can go on for as long
-- as it finds its last one, and nobody counts it out meanwhile.
--
-- KEYS[1]  the records of all replicas, of which those that are gone have `gone:` before their name
-- ARGV[1]  the replica
-- ARGV[2]  milliseconds for which the workers may trust what the replica says, from when the record is written on
-- ARGV[3]  what it says, as JSON
-- ARGV[4]  milliseconds after which a record that was not renewed is marked as gone
-- ARGV[5]  milliseconds for which the replica may rely on its record without looking for it
-- Reply    OK
-- Seconds that the records are kept while nobody writes: for so long workers stay current although Redis refuses to.
local KEPT = 86400
local t = now_millis()
-- Redis may be full: a record takes the place of one that is as long.
begin_writing(KEYS[1])
local records = redis.call('HGETALL', KEYS[1])
for i = 1, #records, 2 do
  local name, record = records[i], records[i + 1]
  local written, lifetime, says = string.match(record, '^(%d+) (%d+) (.*)$')
  written, lifetime = tonumber(written), tonumber(lifetime)
  local is_gone = string.sub(name, 1, 5) == 'gone:'
  if not written or (is_gone and t - written >= lifetime) then
    redis.call('HDEL', KEYS[1], name)
  elseif not is_gone and name ~= ARGV[1] and t - written >= tonumber(ARGV[4]) then
    redis.call('HDEL', KEYS[1], name)
    -- What it said up to now its workers may trust for as long as they do.
    local rest = math.max(written + lifetime - t, lifetime - tonumber(ARGV[5]))
    redis.call('HSET', KEYS[1], 'gone:' .. name, string.format('%.0f %.0f %s', t, rest, says))
  end
end
redis.call('HDEL', KEYS[1], 'gone:' .. ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f %s %s', t, ARGV[2], ARGV[3]))
redis.call('EXPIRE', KEYS[1], KEPT)
return redis.status_reply('OK')
