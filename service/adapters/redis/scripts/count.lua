-- Count the places that still hold the images published there.
--
-- KEYS[1..] pools (see begin.lua)
-- ARGV[1]   JSON [[position in KEYS, index, digest], ...]
-- Returns   the number of places

local count = 0
for _, place in ipairs(cjson.decode(ARGV[1])) do
  local entry = redis.call('HGET', KEYS[place[1]], place[2])
  local mark = '"digest":"' .. place[3] .. '"'
  if entry and string.find(entry, mark, 1, true) then count = count + 1 end
end
return count
