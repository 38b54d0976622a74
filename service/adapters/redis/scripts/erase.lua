-- Move the sums and holds of one user of a team to the user `erased`. Idempotent: a sum is added and removed in
-- one step.
--
-- KEYS[1]   ledger of a day: hash, '<user>|<model>|<realm>|<outcome>|<unit>' -> integer
-- KEYS[2]   hold details: hash, fence -> JSON with a ledger label '<user>|<model>|<realm>'
-- ARGV[1]   JSON {user, fields: of the ledger, fences: of the holds}
-- Returns   the number of changed entries

local args = cjson.decode(ARGV[1])
local prefix, changed = args.user .. '|', 0
local function rename(label)
  if string.sub(label, 1, #prefix) ~= prefix then return nil end
  return 'erased|' .. string.sub(label, #prefix + 1)
end

for _, field in ipairs(args.fields) do
  local heir, sum = rename(field), redis.call('HGET', KEYS[1], field)
  if heir and sum then
    redis.call('HINCRBY', KEYS[1], heir, sum)
    redis.call('HDEL', KEYS[1], field)
    changed = changed + 1
  end
end
for _, fence in ipairs(args.fences) do
  local text = redis.call('HGET', KEYS[2], fence)
  local hold = text and cjson.decode(text)
  local heir = hold and rename(hold.ledger)
  if heir then
    hold.ledger = heir
    redis.call('HSET', KEYS[2], fence, cjson.encode(hold))
    changed = changed + 1
  end
end
return changed
