-- Move the sums and holds of one user of a team to the user `erased`. Idempotent: a sum is added and removed in
-- one step.
--
-- KEYS[1]   ledger of a day: hash, '<user>|<model>|@<backend>|<realm>|<outcome>|<unit>' -> integer;
--           without the backend in sums of earlier versions, and where it is unknown
-- KEYS[2]   hold details (see scopes.lua)     KEYS[3]   limits of the user
-- ARGV[1]   JSON {user, pools: prefix of the user's own, fields: of the ledger, fences: of the holds}
-- Returns   the number of changed entries

local args = cjson.decode(ARGV[1])
local prefix, changed = args.user .. '|', 0
local function rename(label)
  if string.sub(label, 1, #prefix) ~= prefix then return nil end
  return 'erased|' .. string.sub(label, #prefix + 1)
end

local function others(scopes)
  local left = {}
  for _, key in ipairs(scopes) do
    if key ~= KEYS[3] then left[#left + 1] = key end
  end
  return left
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
    -- The limits and the pools of the person are erased, too.
    hold.scopes, hold.holding = others(hold.scopes), others(hold.holding)
    if string.sub(hold.pool, 1, #args.pools) == args.pools then hold.pool = '' end
    redis.call('HSET', KEYS[2], fence, cjson.encode(hold))
    changed = changed + 1
  end
end
return changed
