-- Hold the claims of living orders of one team for another lease, and book what nobody renewed.
--
-- KEYS[1] holds by expiry   KEYS[2] hold details   KEYS[3] ledger of the day   KEYS[4..] pools and limit scopes
-- ARGV[1] JSON {lease_us, leases: [{id, fence, pool, record, indices, scopes}], sweep, ledger_ttl_s, keep_s};
--         pool, record and scopes are positions in KEYS, 0 for none
-- Returns how many expired holds were booked as unknown

local args = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local expires = whole(now + args.lease_us)

for _, lease in ipairs(args.leases) do
  -- An Idempotency-Key's order may only wait for others, and hold nothing else.
  if lease.record > 0 and redis.call('HGET', KEYS[lease.record], 'owner') == lease.id then
    redis.call('HSET', KEYS[lease.record], 'until', expires)
  end
  local text = redis.call('HGET', KEYS[2], lease.fence)
  if text then
    -- What a sweep has booked keeps its own, longer time there; but its maker lives, and so do its claims.
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
        local entry = redis.call('HGET', pool, index)
        if entry and string.match(entry, '^c|%d+|(.*)$') == lease.fence then
          redis.call('HSET', pool, index, 'c|' .. expires .. '|' .. lease.fence)
        end
      end
      keep_for(pool, math.ceil(args.lease_us / 1000) * 2)
    end
  end
end

-- A hold that expired belonged to a process that died or lost Redis: its calls may have been billed.
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
      local label = hold.ledger .. '|unknown'
      redis.call('HINCRBY', KEYS[3], label .. '|images', hold.images)
      redis.call('HINCRBY', KEYS[3], label .. '|microusd', whole(hold.images * hold.estimate_microusd))
      if not hold.is_priced then redis.call('HINCRBY', KEYS[3], label .. '|unpriced', hold.images) end
      redis.call('EXPIRE', KEYS[3], args.ledger_ttl_s)
      hold.swept = true
      redis.call('HSET', KEYS[2], fence, cjson.encode(hold))
      redis.call('ZADD', KEYS[1], whole(now + args.keep_s * 1000000), fence)
      booked = booked + 1
    end
  end
end
return booked
