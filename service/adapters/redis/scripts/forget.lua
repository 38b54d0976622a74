-- Remove a team's reference to an image, and its variants in the team's pools. Idempotent.
--
-- KEYS[1]   references of the team (see finish.lua)
-- KEYS[2]   references by age, kept     KEYS[3]   references by age, brief
-- KEYS[4]   totals of the references
-- KEYS[5..] the pools in ARGV[2], in the order of their first line
-- ARGV[1]   image name     ARGV[2]   the value of '<image name>|pools' as it was read, '' if missing
-- Returns   1 if there was a reference, 0 if not, -1 if the pools have changed since they were read

local name, known = ARGV[1], ARGV[2]
if (redis.call('HGET', KEYS[1], name .. '|pools') or '') ~= known then return -1 end

-- Variants first, so that no order returns the image from here on. An index with another image or a claim stays.
local mark = '"digest":"' .. string.match(name, '^%x+') .. '"'
local position, keys = {}, 4
for pool, index in string.gmatch(known, '([^\n]+) (%-?%d+)\n') do
  if not position[pool] then
    keys = keys + 1
    position[pool] = keys
  end
  local entry = redis.call('HGET', KEYS[position[pool]], index)
  if entry and string.find(entry, mark, 1, true) then
    redis.call('HDEL', KEYS[position[pool]], index)
  end
end

local reference = redis.call('HGET', KEYS[1], name)
redis.call('HDEL', KEYS[1], name, name .. '|pools')
redis.call('ZREM', KEYS[2], name)
redis.call('ZREM', KEYS[3], name)
if not reference then return 0 end
redis.call('HINCRBY', KEYS[4], 'images', -1)
redis.call('HINCRBY', KEYS[4], 'bytes', -cjson.decode(reference).size_bytes)
return 1
