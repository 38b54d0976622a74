-- Admit an order and give it its images, all or nothing, in one round trip.
--
-- KEYS[1]   pool of the fingerprint: hash, index -> 'v|created_us|variant JSON' or 'c|expires_us|fence'
-- KEYS[2]   holds by expiry: sorted set, fence -> expires_us
-- KEYS[3]   hold details: hash, fence -> JSON {ledger label, images, estimate_microusd of each}
-- KEYS[4]   marker of this ask, so that one whose answer was lost is not charged twice
-- KEYS[5..] one hash per limit scope: resource -> theoretical arrival time in microseconds
-- ARGV[1]   JSON of what is asked (service/adapters/redis/orders.py, _begin_arguments)
-- Returns   JSON {id, ready, mine, awaited, foreign, limits} or {id, refused, retry_after_us, limits}
--
-- Times are microseconds of the server's own clock. Numbers of 16 digits are written with '%.0f':
-- Lua's tostring would round them.

local ask = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = ask.fence

-- What the pool has: variants to hand out, live claims of others, indices in use.
local used, foreign = {}, 0
for _, index in ipairs(ask.used) do used[index] = true end
local occupied, highest = {}, -1
local variants, claims, mine, stale = {}, {}, {}, {}
if ask.has_pool then
  local entries = redis.call('HGETALL', KEYS[1])
  for i = 1, #entries, 2 do
    local index = tonumber(entries[i])
    local kind, at, rest = string.match(entries[i + 1], '^(%a)|(%d+)|(.*)$')
    at = tonumber(at)
    if kind == 'v' then
      if string.sub(rest, 1, #ask.mark) ~= ask.mark then
        -- Written for another pool, whatever put it here: never handed out, and counted.
        stale[#stale + 1], foreign = entries[i], foreign + 1
      elseif at + ask.ttl_us <= now then
        stale[#stale + 1] = entries[i]
      else
        occupied[index] = true
        if not used[index] and at + ask.max_age_us > now then
          variants[#variants + 1] = {index = index, age_us = now - at, variant = rest}
        end
      end
    elseif at > now then
      occupied[index] = true
      if rest == fence then mine[#mine + 1] = index
      elseif not used[index] then claims[#claims + 1] = index end
    end
    if index > highest then highest = index end
  end
  table.sort(variants, function(a, b) return a.index < b.index end)
  table.sort(claims)
  table.sort(mine)
end

-- Plan: ready ones first, oldest first; then what others are making; the rest is ours to make.
local ready, awaited, claimed = {}, {}, {}
local missing = ask.n - #mine
if not ask.fresh then
  for _, variant in ipairs(variants) do
    if missing == 0 then break end
    ready[#ready + 1] = variant
    missing = missing - 1
  end
  if not ask.only_ready then
    for _, index in ipairs(claims) do
      if missing == 0 then break end
      awaited[#awaited + 1] = index
      missing = missing - 1
    end
  end
end
if ask.only_ready then missing = 0 end
local candidate = ask.fresh and highest + 1 or 0
while missing > 0 do
  if not occupied[candidate] and not used[candidate] then
    claimed[#claimed + 1] = candidate
    missing = missing - 1
  end
  candidate = candidate + 1
end

-- Limits: all or none. The same arithmetic as service/domain/gcra.py.
local seen_before = redis.call('EXISTS', KEYS[4]) == 1
local refused, retry_after_us = nil, 0
for i, limit in ipairs(ask.limits) do
  local weight = 0
  if not seen_before then
    if limit.resource == 'images' then weight = #claimed elseif ask.round == 0 then weight = 1 end
  end
  limit.burst_us = limit.emission_us * limit.per_min
  limit.arrival = tonumber(redis.call('HGET', KEYS[limit.key], limit.resource) or 0)
  limit.arrival = math.min(math.max(limit.arrival, now), now + limit.burst_us)
  limit.wanted = limit.arrival + weight * limit.emission_us
  local over_us = limit.wanted - now - limit.burst_us
  if weight > 0 and over_us > retry_after_us then refused, retry_after_us = i - 1, over_us end
end
local states = {}
for i, limit in ipairs(ask.limits) do
  local arrival = refused and limit.arrival or limit.wanted
  states[i] = {
    remaining = math.floor((limit.burst_us - (arrival - now)) / limit.emission_us),
    reset_us = arrival - now,
  }
end
if refused then
  return cjson.encode({id = ask.id, refused = refused, retry_after_us = retry_after_us, limits = states})
end

-- Write.
for _, limit in ipairs(ask.limits) do
  if limit.wanted > limit.arrival then
    redis.call('HSET', KEYS[limit.key], limit.resource, string.format('%.0f', limit.wanted))
    redis.call('PEXPIRE', KEYS[limit.key], 120000)
  end
end
if ask.round == 0 or #claimed > 0 then redis.call('SET', KEYS[4], '', 'PX', ask.marker_ms) end
-- unpack() is bounded by Lua's stack; what is left goes next time.
if #stale > 0 then redis.call('HDEL', KEYS[1], unpack(stale, 1, math.min(#stale, 1000))) end
if #claimed > 0 then
  local expires = now + ask.lease_us
  if ask.has_pool then
    local claim = string.format('c|%.0f|%s', expires, fence)
    for _, index in ipairs(claimed) do redis.call('HSET', KEYS[1], index, claim) end
    local keep_ms = math.ceil(ask.lease_us / 1000) * 2
    if redis.call('PTTL', KEYS[1]) < keep_ms then redis.call('PEXPIRE', KEYS[1], keep_ms) end
  end
  redis.call('ZADD', KEYS[2], string.format('%.0f', expires), fence)
  redis.call('HSET', KEYS[3], fence, cjson.encode({
    ledger = ask.ledger, images = #claimed, estimate_microusd = ask.estimate_microusd,
  }))
end
for _, index in ipairs(claimed) do mine[#mine + 1] = index end

return cjson.encode({
  id = ask.id,
  ready = ready,
  mine = mine,
  awaited = awaited,
  foreign = foreign,
  limits = states,
})
