-- The sessions that an operation has ended, and that nobody may have been told of: a hash of each session's id, with when
-- it would have ended by itself, a blank, and the operation.

-- Those of that operation, each as its id and when it would have ended by itself.
local function untold(key, op)
  local found = {}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local expires_at, by = string.match(all[i + 1], '^(%d+) (%x+)$')
    if by == op then
      found[#found + 1] = {all[i], expires_at}
    end
  end
  return found
end

