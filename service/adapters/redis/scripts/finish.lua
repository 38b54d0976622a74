-- Settle a part of an order: publish, charge, release, wake waiters. Idempotent by its marker.
--
-- KEYS[1]   pool (see begin.lua)
-- KEYS[2]   holds by expiry     KEYS[3]   hold details     KEYS[4]   marker of this settlement
-- KEYS[5]   ledgers, a prefix to which the script adds its day 'YYYYMMDD': hash, '<label>|<outcome>|<unit>' -> integer,
--           units images, microusd, unpriced
-- KEYS[6]   record of the Idempotency-Key (see begin.lua)
-- KEYS[7]   references of the team: hash, image name -> JSON of its origin, and '<image name>|pools' -> lines of
--           'pool index'
-- KEYS[8]   references to keep, by the second they were made: sorted set; KEYS[10] the same for brief ones
-- KEYS[9]   totals of the references: hash of images and bytes
-- KEYS[11]  number of images of this fence that were settled, for a late renewal (see restore.lua) or ask (begin.lua)
-- KEYS[12..] one hash for each limit scope (see scopes.lua)
-- ARGV[1]   JSON of the settlement (service/adapters/redis/orders.py, _finish_arguments)
-- Returns   the number of images that were not published because another order has their index, or -1 if the part
--           was settled before

local s = cjson.decode(ARGV[1])
local TYPES = {[2] = 'zset', [4] = 'string', [8] = 'zset', [10] = 'zset', [11] = 'string'}
if redis.call('EXISTS', KEYS[4]) == 1 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = calendar(now)
-- Check the types first: a script that fails half-way is not undone, and would count twice when repeated.
for i = 2, #KEYS do
  local key = i == 5 and KEYS[i] .. today.day or KEYS[i]
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'none' and kind ~= (TYPES[i] or 'hash') then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. kind)
  end
end
local published, refused = 0, 0

-- Collect the indices to announce. Other processes do not know indices below 0.
local changed, is_told = {}, {}
local function tell(index)
  if index < 0 or is_told[index] then return end
  changed[#changed + 1], is_told[index] = index, true
end

-- An index may be published under if it holds our claim or is free. A late owner must not overwrite a newer one's.
local function is_ours(index)
  local entry = redis.call('HGET', KEYS[1], index)
  return not entry or is_claim(entry, s.fence)
end

local function free_index()
  local index = 0
  while redis.call('HEXISTS', KEYS[1], index) == 1 do index = index + 1 end
  return index
end

-- A local share granted the indices below 0, because Redis was away or its answer to `begin` was lost. All claims
-- under this fence are released, and the images are published under free indices.
local hold = redis.call('HGET', KEYS[3], s.fence)
hold = hold and cjson.decode(hold)
if s.is_local then
  if s.has_pool then
    local entries = redis.call('HGETALL', KEYS[1])
    for i = 1, #entries, 2 do
      if is_claim(entries[i + 1], s.fence) then
        redis.call('HDEL', KEYS[1], entries[i])
        tell(tonumber(entries[i]))
      end
    end
  end
  s.refunded = hold and not hold.swept and hold.images or 0
  s.settled = hold and hold.images or 0
end

-- Note a place of an image. A backend that makes the same bytes for every order would add places for ever: beyond as
-- many as a pool may have variants, the oldest place loses the image.
local function add_place(made, place)
  local pools = redis.call('HGET', KEYS[7], made.name .. '|pools') or ''
  if string.find('\n' .. pools, '\n' .. place, 1, true) then return end
  local places = {}
  for line in string.gmatch(pools .. place, '[^\n]+\n') do places[#places + 1] = line end
  local surplus = #places - s.most
  for i = 1, surplus do
    local pool, old = string.match(places[i], '^(.+) (%-?%d+)\n$')
    local entry = redis.call('HGET', pool, old)
    if entry and string.find(entry, made.digest, 1, true) then redis.call('HDEL', pool, old) end
  end
  redis.call('HSET', KEYS[7], made.name .. '|pools', table.concat(places, '', math.max(1, surplus + 1)))
end

for _, made in ipairs(s.made) do
  local index = made.index
  if s.has_pool and made.is_published then
    if index < 0 then index = free_index() end
    if is_ours(index) then
      redis.call('HSET', KEYS[1], index, string.format('v|%.0f|%s', now, made.variant))
      tell(index)
      published = published + 1
    else
      refused = refused + 1
    end
  end
  -- An image that the store did not take has no reference, and no bytes to resume with.
  if made.reference and s.has_idempotency and redis.call('EXISTS', KEYS[6]) == 1 then
    redis.call('HSET', KEYS[6], 'made|' .. made.digest, index .. '|' .. made.variant)
  end
  -- The team's reference, for links, deletion and retention. Making the same bytes again renews their age, and a
  -- brief reference becomes a kept one.
  if made.reference then
    local is_new = redis.call('HSETNX', KEYS[7], made.name, made.reference) == 1
    local second = math.floor(now / 1000000)
    if not s.is_brief then
      redis.call('HSET', KEYS[7], made.name, made.reference)
      redis.call('ZREM', KEYS[10], made.name)
      redis.call('ZADD', KEYS[8], second, made.name)
    elseif is_new then
      redis.call('ZADD', KEYS[10], second, made.name)
    end
    if is_new then
      redis.call('HINCRBY', KEYS[9], 'images', 1)
      redis.call('HINCRBY', KEYS[9], 'bytes', made.size_bytes)
    end
    if s.has_pool and made.is_published then
      add_place(made, s.pool .. ' ' .. index .. '\n')
    end
  end
end
if published > 0 and redis.call('PTTL', KEYS[1]) < s.ttl_ms then redis.call('PEXPIRE', KEYS[1], s.ttl_ms) end

-- Bound the pool: a prompt that is always ordered afresh would slow down its orders. The oldest variants go.
local surplus = published > 0 and redis.call('HLEN', KEYS[1]) - s.most or 0
if surplus > 0 then
  local variants, entries = {}, redis.call('HGETALL', KEYS[1])
  for i = 1, #entries, 2 do
    local at = tonumber(string.match(entries[i + 1], '^v|(%d+)'))
    if at then variants[#variants + 1] = {index = entries[i], at = at} end
  end
  table.sort(variants, function(a, b) return a.at < b.at end)
  for i = 1, math.min(surplus, #variants - 1) do redis.call('HDEL', KEYS[1], variants[i].index) end
end

for _, index in ipairs(s.released) do
  if s.has_pool then
    if is_claim(redis.call('HGET', KEYS[1], index), s.fence) then redis.call('HDEL', KEYS[1], index) end
    tell(index)
  end
end

for _, forgotten in ipairs(s.forgotten) do
  local entry = redis.call('HGET', KEYS[1], forgotten.index)
  if entry and string.find(entry, forgotten.digest, 1, true) then
    redis.call('HDEL', KEYS[1], forgotten.index)
  end
end

for _, scope in ipairs(s.scopes) do
  local key = KEYS[scope.key]
  -- Refunded images return to the rate here, to the other limits with the hold.
  local arrival = s.refunded > 0 and scope.emission_us and tonumber(redis.call('HGET', key, 'images') or 0) or 0
  if arrival > now then
    redis.call('HSET', key, 'images', whole(math.max(arrival - s.refunded * s.weight * scope.emission_us, now)))
  end
  -- An image that may have been billed counts like one that was made.
  local counted = s.charged_images + s.unknown
  if counted > 0 then
    charge(key, today, counted * s.weight, s.charged_microusd + s.unknown * s.estimate_microusd)
  end
end

local ledger = KEYS[5] .. today.day
book(ledger, s.ledger .. '|made', s.charged_images, s.charged_microusd, s.unpriced, s.ledger_ttl_s)
book_hold(s, today.day, s.unknown, KEYS[5], s.ledger_ttl_s)

-- The hold shrinks by the settled images.
if s.settled > 0 or s.is_local then
  redis.call('INCRBY', KEYS[11], s.settled)
  redis.call('PEXPIRE', KEYS[11], math.ceil(s.lease_us / 500))
end
if hold then
  local ended = math.min(hold.images, s.settled)
  -- What a sweep booked, because it took the order for dead, is replaced by this settlement.
  if hold.swept then unsweep(hold, ended, KEYS[5], s.ledger_ttl_s) else hold_images(hold, -ended) end
  hold.images = hold.images - s.settled
  if hold.images <= 0 then
    redis.call('HDEL', KEYS[3], s.fence)
    redis.call('ZREM', KEYS[2], s.fence)
  else
    local is_over, left = {}, {}
    for _, made in ipairs(s.made) do is_over[made.index] = true end
    for _, index in ipairs(s.released) do is_over[index] = true end
    for _, index in ipairs(hold.indices) do
      if not is_over[index] then left[#left + 1] = index end
    end
    hold.indices = left
    redis.call('HSET', KEYS[3], s.fence, cjson.encode(hold))
  end
end

if s.is_last and s.has_idempotency and redis.call('EXISTS', KEYS[6]) == 1 then
  -- An order that lost the key to another does not write it, and a final answer never changes.
  if redis.call('HGET', KEYS[6], 'owner') == s.id then
    if s.conclusion then redis.call('HSETNX', KEYS[6], 'result', s.conclusion) end
    redis.call('HSET', KEYS[6], 'until', '0')
  end
end

-- Last, so that a script that failed is run again. Everything before the ledger may run twice.
redis.call('SET', KEYS[4], '', 'EX', s.marker_s)

if s.has_pool and #changed > 0 then
  redis.call('PUBLISH', s.channel, cjson.encode({pool = s.pool, indices = changed, by = s.process}))
end
return refused
