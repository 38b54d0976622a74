-- Hold and claim again what a server lost of a living order, such as one that came back without its last writes.
--
-- KEYS[1] holds by expiry   KEYS[2] hold details (see scopes.lua)   KEYS[3] number of settled images (see finish.lua)
-- ARGV[1] JSON {lease_us, fence, hold}; its images are all those granted, its indices those not settled

local args = cjson.decode(ARGV[1])
local hold = args.hold
local time = redis.call('TIME')
local expires = whole(time[1] * 1000000 + time[2] + args.lease_us)

-- An order that is settled while its renewal is under way ends for good.
hold.images = hold.images - tonumber(redis.call('GET', KEYS[3]) or 0)
if hold.images <= 0 or redis.call('HEXISTS', KEYS[2], args.fence) == 1 then return 0 end
hold_images(hold, hold.images)
redis.call('ZADD', KEYS[1], expires, args.fence)
redis.call('HSET', KEYS[2], args.fence, cjson.encode(hold))
if hold.pool ~= '' then claim_again(hold.pool, hold.indices, hold, expires, args.fence) end
return 1
