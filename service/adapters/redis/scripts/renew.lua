-- Renew the leases of a team's living orders, and book the holds of dead ones.
--
-- KEYS[1] holds by expiry   KEYS[2] hold details (see scopes.lua)   KEYS[3] ledgers, a prefix (see finish.lua)
-- KEYS[4] pulse (see begin.lua)   KEYS[5..] pools and records of Idempotency-Keys
-- ARGV[1] JSON {lease_us, leases: [{id, fence, pool, record, indices}], sweep, ledger_ttl_s, keep_s, channel}; pool and
--         record are positions in KEYS, 0 for none; sweep is the most holds to book
-- Returns the fences without a hold: the server has lost it (see restore.lua), or its order was settled meanwhile

local args = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = calendar(now)
local expires = whole(now + args.lease_us)
local missing = {}

note_renewal(KEYS[4], now, args.lease_us)
for _, lease in ipairs(args.leases) do
  -- An order may hold its Idempotency-Key alone, while it waits for others.
  if lease.record > 0 then
    local held = redis.call('HMGET', KEYS[lease.record], 'owner', 'until')
    -- One that has ended without an answer is free, even if its renewal was under way.
    if held[1] == lease.id and held[2] ~= '0' then
      redis.call('HSET', KEYS[lease.record], 'until', expires)
    end
  end
  local text = lease.fence ~= '' and redis.call('HGET', KEYS[2], lease.fence)
  if text then
    local hold = cjson.decode(text)
    if hold.swept then
      revive(hold, KEYS[3], args.ledger_ttl_s)
      redis.call('HSET', KEYS[2], lease.fence, cjson.encode(hold))
    end
    redis.call('ZADD', KEYS[1], expires, lease.fence)
    if lease.pool > 0 then claim_again(KEYS[lease.pool], lease.indices, hold, expires, lease.fence) end
  elseif lease.fence ~= '' then
    missing[#missing + 1] = lease.fence
  end
end

if args.sweep > 0 and may_lapse(KEYS[4], now, args.lease_us) then
  for _, fence in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, args.sweep)) do
    local text = redis.call('HGET', KEYS[2], fence)
    local hold = text and cjson.decode(text)
    if not hold or hold.swept then
      redis.call('ZREM', KEYS[1], fence)
      redis.call('HDEL', KEYS[2], fence)
    else
      bury(KEYS[1], KEYS[2], fence, hold, now, today, KEYS[3], args)
    end
  end
end
return missing
