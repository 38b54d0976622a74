-- Book the holds of a dead process as unknown, without waiting for the end of their leases. Idempotent.
--
-- KEYS[1] holds by expiry   KEYS[2] hold details (see scopes.lua)   KEYS[3] ledgers, a prefix (see finish.lua)
-- ARGV[1] JSON {process, ledger_ttl_s, keep_s, channel}
-- Returns the number of holds booked

local args = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local today = calendar(now)
local booked = 0

local holds = redis.call('HGETALL', KEYS[2])
for i = 1, #holds, 2 do
  local hold = cjson.decode(holds[i + 1])
  if hold.process == args.process and not hold.swept then
    bury(KEYS[1], KEYS[2], holds[i], hold, now, today, KEYS[3], args)
    -- Its Idempotency-Key may be taken up again.
    if hold.record ~= '' and redis.call('HGET', hold.record, 'owner') == hold.id then
      redis.call('HSET', hold.record, 'until', '0')
    end
    booked = booked + 1
  end
end
return booked
