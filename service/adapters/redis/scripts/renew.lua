-- Renew the claims of a team's living orders, and book expired holds.
--
-- KEYS[1] holds by expiry   KEYS[2] hold details   KEYS[3] ledger of the day   KEYS[4..] pools and limit scopes
-- ARGV[1] JSON {lease_us, leases: [{id, fence, pool, record, indices, scopes}], sweep, ledger_ttl_s, keep_s};
--         pool, record and scopes are positions in KEYS, 0 for none
-- Returns the number of expired holds booked as unknown

local args = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local expires = whole(now + args.lease_us)

for _, lease in ipairs(args.leases) do
  -- An order may hold its Idempotency-Key alone, while it waits for others.
  if lease.record > 0 and redis.call('HGET', KEYS[lease.record], 'owner') == lease.id then
    redis.call('HSET', KEYS[lease.record], 'until', expires)
  end
  local text = redis.call('HGET', KEYS[2], lease.fence)
  if text then
    -- A hold that a sweep has booked keeps its own, longer expiry there; its order lives, so its claims are renewed.
    if not cjson.decode(text).swept then redis.call('ZADD', KEYS[1], 'XX', expires, lease.fence) end
    for _, scope in ipairs(lease.scopes) do
      local part = redis.call('HGET', KEYS[scope], 'hold|' .. lease.fence)
      if part then
        local hold = read_hold(part)
        hold.expires = now + args.lease_us
        redis.call('HSET', KEYS[scope], 'hold|' .. lease.fence, encode_hold(hold))
        keep_for(KEYS[scope], 120000)
      end
    end
    if lease.pool > 0 then
      local pool = KEYS[lease.pool]
      for _, index in ipairs(lease.indices) do
        if is_claim(redis.call('HGET', pool, index), lease.fence) then
          redis.call('HSET', pool, index, 'c|' .. expires .. '|' .. lease.fence)
        end
      end
      keep_for(pool, math.ceil(args.lease_us / 1000) * 2)
    end
  end
end

-- The process of an expired hold died or lost Redis: its calls may have been billed.
local booked = 0
local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, args.sweep)
for _, fence in ipairs(dead) do
  redis.call('ZREM', KEYS[1], fence)
  local text = redis.call('HGET', KEYS[2], fence)
  if text then
    local hold = cjson.decode(text)
    if hold.swept then
      redis.call('HDEL', KEYS[2], fence)
    else
      local microusd, unpriced = hold.images * hold.estimate_microusd, hold.is_priced and 0 or hold.images
      book(KEYS[3], hold.ledger .. '|unknown', hold.images, microusd, unpriced, args.ledger_ttl_s)
      hold.swept = true
      redis.call('HSET', KEYS[2], fence, cjson.encode(hold))
      redis.call('ZADD', KEYS[1], whole(now + args.keep_s * 1000000), fence)
      booked = booked + 1
    end
  end
end
return booked
