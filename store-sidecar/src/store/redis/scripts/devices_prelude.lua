-- What the scripts about an account's devices share. The same as `Devices`. A device is
-- `{until when, last shown or 0, failures in all, {failures …}, {a token's hash, when it was issued, …}}`; devices, failures
-- and tokens are in the order in which they came, and moments in milliseconds.

-- The devices that are stored at `key`; nil and an error reply where they were stored in another form.
local function read_devices(key)
  local stored = redis.call('GET', key)
  if not stored then
    return {}
  end
  local is_read, form = pcall(cmsgpack.unpack, stored)
  if not is_read or type(form) ~= 'table' or form[1] ~= 1 or type(form[2]) ~= 'table' then
    return nil, redis.error_reply('SGFORMAT the stored devices of an account cannot be read')
  end
  return form[2]
end

-- Stores them until the last of them ends.
local function write_devices(key, devices, t)
  local ends = t
  for _, device in ipairs(devices) do
    ends = math.max(ends, device[1])
  end
  if ends == t then
    redis.call('DEL', key)
  else
    redis.call('SET', key, cmsgpack.pack({1, devices}), 'PX', string.format('%.0f', ends - t))
  end
end

-- The place of the device that knows that token, and that of the token in it.
local function find_device(devices, token, t)
  for i, device in ipairs(devices) do
    local tokens = t < device[1] and device[5] or {}
    for j = 1, #tokens, 2 do
      if tokens[j] == token then
        return i, j
      end
    end
  end
end
