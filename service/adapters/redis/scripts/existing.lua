-- Find the keys that exist.
--
-- KEYS      keys of one team
-- Returns   their positions, from 1

local there = {}
for i, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then there[#there + 1] = i end
end
return there
