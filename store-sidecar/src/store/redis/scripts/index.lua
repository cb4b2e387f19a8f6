-- Reads a part of a user's list of sessions, which is ordered by when they expire, and then by their ids.
-- Atomic, because where a part begins depends on what is there.
--
-- KEYS[1]  the user's index
-- ARGV[1]  newest: the session that expires last comes first; oldest: the one that expires first
-- ARGV[2]  where the part before ended: when the session there expires; empty: from the start
-- ARGV[3]  the same: its id
-- ARGV[4]  how many at most
-- Reply    ids, each followed by when it expires, one more than wanted where there are more
local newest = ARGV[1] == 'newest'
local first, last = '-inf', '+inf'
if newest then
  first, last = last, first
end
if ARGV[2] ~= '' then
  first = ARGV[2]
end
local limit = tonumber(ARGV[4]) + 1
local reply, offset = {}, 0
while true do
  local range = {first, last, 'BYSCORE'}
  if newest then
    range[4] = 'REV'
  end
  for _, word in ipairs({'LIMIT', offset, limit, 'WITHSCORES'}) do
    range[#range + 1] = word
  end
  local found = redis.call('ZRANGE', KEYS[1], unpack(range))
  for i = 1, #found, 2 do
    local id, score = found[i], tonumber(found[i + 1])
    local was_there = ARGV[2] ~= '' and score == tonumber(ARGV[2])
      and (id == ARGV[3] or (id > ARGV[3]) == newest)
    if not was_there then
      reply[#reply + 1] = id
      reply[#reply + 1] = score
      if #reply >= 2 * limit then
        return reply
      end
    end
  end
  if #found < 2 * limit then
    return reply
  end
  offset = offset + limit
end
