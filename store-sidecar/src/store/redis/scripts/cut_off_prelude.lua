-- What the scripts share that change how far a user's generations of sessions have come: a hash for all users
-- with one tag, of each `<name of the index>:generation` (that of sessions which begin now),
-- `<name of the index>:ended_before` (those of earlier ones have ended), `<name of the index>:begun` (by the latest cut-off
-- that has begun those of earlier ones are to end) and `<name of the index>:except` (but for this one; empty: for none).

-- The generation of sessions which begin now, as it is stored; nil: it is not.
local function stored_generation(cut_offs, index)
  return tonumber(redis.call('HGET', cut_offs, index .. ':generation') or '')
end

-- The same, whether it is stored or not. It counts on from the moment at which a user is first seen, in microseconds:
-- so where this store has lost it, it is later than any cut-off from before the loss.
local function generation(cut_offs, index)
  return math.max(stored_generation(cut_offs, index) or now_micros(), ended_before(cut_offs, index))
end

-- Notes how far a user's generations have come. Nothing goes back.
local function note_cut_off(cut_offs, index, current, before)
  local latest = math.max(current, before, stored_generation(cut_offs, index) or 0)
  redis.call('HSET', cut_offs, index .. ':generation', string.format('%.0f', latest))
  if before > ended_before(cut_offs, index) then
    redis.call('HSET', cut_offs, index .. ':ended_before', string.format('%.0f', before))
  end
end

-- Lets what is known of the generations last at least until then.
local function keep_cut_offs(cut_offs, till)
  local ttl = redis.call('TTL', cut_offs)
  if ttl == -1 or (ttl >= 0 and now() + ttl < till) then
    redis.call('EXPIREAT', cut_offs, string.format('%.0f', till))
  end
end

-- When the last session of the index expires.
local function latest_expiry(index)
  local latest = redis.call('ZRANGE', index, -1, -1, 'WITHSCORES')
  return tonumber(latest[2] or 0)
end

-- The session at `key` if it is that user's and has not ended.
local function live(key, cut_offs, user, t)
  local s, failure = load(key, cut_offs)
  if s and s.user_id == user and not is_final(status_at(s, t)) then
    return s
  end
  return nil, failure
end

-- Lets that session at `key` go on as one of that generation.
local function spare(key, s, generation_of_it)
  redis.call('HSET', key, 'generation', string.format('%.0f', math.max(s.generation, generation_of_it)))
end

