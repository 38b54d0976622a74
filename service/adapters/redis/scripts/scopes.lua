-- Count the use of one limit scope (a user, a key, a team), and hold images of running orders. Prepended to every
-- script that needs it.
--
-- A scope is one hash:
--   requests, images   theoretical arrival time in microseconds (GCRA)
--   day                'YYYYMMDD|weighted images' settled on that day
--   month              'YYYYMM|microusd' settled in that month
--   running            'images|weighted|microusd' of the holds that count here; no field without any
--
-- A hold is a field of the hold details, fence -> JSON of
--   ledger             label '<user>|<model>|<realm>': which backend will make them is not known yet
--   images             not settled yet; indices are theirs in the pool
--   weight, estimate_microusd, is_priced   of one image
--   scopes             keys of the scopes to charge; holding: those of them in which it runs
--   process, pool      its process, and the key of its pool, '' without one
--   record, id         key of its Idempotency-Key's record, '' without one, and its order
--   swept              {day, month} of its booking as unknown
-- Its end of lease is in the sorted set of holds. These keys are all in the team's slot, so the names in a hold need
-- not be among KEYS, and nor does a ledger, whose day only the server knows.
--
-- Days and months are UTC by the server's own clock.

local DAY_US = 86400000000
local KEEP_MS = 40 * 86400000
-- Longer than any order.
local HELD_MS = 86400000

-- Turn an instant into a date: Gregorian eras of 400 years that begin in March.
local function calendar(now)
  local days = math.floor(now / DAY_US)
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year_of_era = math.floor(
    (of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local from_march = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * from_march + 2) / 5) + 1
  local month = from_march < 10 and from_march + 3 or from_march - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  local lengths = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
  local length = lengths[month]
  if month == 2 and (year % 4 == 0 and year % 100 ~= 0 or year % 400 == 0) then length = 29 end
  return {
    day = string.format('%04d%02d%02d', year, month, day),
    month = string.format('%04d%02d', year, month),
    day_ends_us = (days + 1) * DAY_US,
    month_ends_us = (days - day + 1 + length) * DAY_US,
  }
end

-- Write an integer; Lua's tostring would round 16 digits.
local function whole(number) return string.format('%.0f', number) end

local function read_counter(text, period)
  local when, count = string.match(text or '', '^(%d+)|(%-?%d+)$')
  return when == period and tonumber(count) or 0
end

local function read_running(text)
  local images, weighted, microusd = string.match(text or '', '^(%d+)|(%d+)|(%d+)$')
  return {images = tonumber(images) or 0, weighted = tonumber(weighted) or 0, microusd = tonumber(microusd) or 0}
end

local function encode_running(running)
  return string.format('%.0f|%.0f|%.0f', running.images, running.weighted, running.microusd)
end

-- Add *images* of a hold to the sums; a negative number subtracts them. Never below 0: an erasure drops a scope.
local function add_to(running, hold, images)
  running.images = math.max(0, running.images + images)
  running.weighted = math.max(0, running.weighted + images * hold.weight)
  running.microusd = math.max(0, running.microusd + images * hold.estimate_microusd)
end

-- Keep a key for at least *ms*; a quarter longer, or every order would write its expiry again.
local function keep_for(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms + math.floor(ms / 4)) end
end

-- Add images of a hold to the scopes in which it runs, or subtract them.
local function hold_images(hold, images)
  for _, key in ipairs(hold.holding) do
    local running = read_running(redis.call('HGET', key, 'running'))
    add_to(running, hold, images)
    if running.images > 0 then
      redis.call('HSET', key, 'running', encode_running(running))
      keep_for(key, HELD_MS)
    else
      redis.call('HDEL', key, 'running')
    end
  end
end

-- Charge a scope's day and month, named as in *period*; negative amounts correct an earlier charge.
local function charge(key, period, weighted, microusd)
  local counters = redis.call('HMGET', key, 'day', 'month')
  for i, name in ipairs({'day', 'month'}) do
    local amount = i == 1 and weighted or microusd
    -- A correction of a past period has nothing to change.
    if amount > 0 or string.find(counters[i] or '', period[name] .. '|', 1, true) == 1 then
      local count = math.max(0, read_counter(counters[i], period[name]) + amount)
      redis.call('HSET', key, name, period[name] .. '|' .. whole(count))
      keep_for(key, KEEP_MS)
    end
  end
end

local function read_scope(key, today)
  local fields = redis.call('HMGET', key, 'requests', 'images', 'day', 'month', 'running')
  return {
    requests = tonumber(fields[1] or 0), images = tonumber(fields[2] or 0),
    day = read_counter(fields[3], today.day), month = read_counter(fields[4], today.month),
    running = read_running(fields[5]), changes = {},
  }
end

-- Return a limit's use by *scope*, the share of one image of *ask*, and the end of its window. Every kind of limit in
-- service/domain/limits.py has a line here or, if it is a rate, a field in read_scope.
local function read_use(resource, scope, ask, today, now)
  local running = scope.running
  if resource == 'images_per_day' then return scope.day + running.weighted, ask.weight, today.day_ends_us end
  if resource == 'images_in_flight' then return running.images, 1, now end
  if resource == 'budget_per_month' then return scope.month + running.microusd, ask.estimate_microusd, today.month_ends_us end
  error('no count of ' .. resource)
end

-- Tell if an entry of a pool is a claim under *fence*.
local function is_claim(entry, fence) return entry and string.match(entry, '^c|%d+|(.*)$') == fence end

-- Book images in a ledger; negative numbers correct an earlier booking.
local function book(key, label, images, microusd, unpriced, ttl_s)
  if images == 0 then return end
  redis.call('HINCRBY', key, label .. '|images', images)
  redis.call('HINCRBY', key, label .. '|microusd', whole(microusd))
  if unpriced ~= 0 then redis.call('HINCRBY', key, label .. '|unpriced', unpriced) end
  redis.call('EXPIRE', key, ttl_s)
end

-- Book the images of a hold as unknown, or take the booking back.
local function book_hold(hold, day, images, ledgers, ttl_s)
  local unpriced = hold.is_priced and 0 or images
  book(ledgers .. day, hold.ledger .. '|unknown', images, images * hold.estimate_microusd, unpriced, ttl_s)
end

-- Book a hold whose process is dead: its calls may have been billed. The images count for its scopes like made ones.
local function sweep(hold, today, ledgers, ttl_s)
  book_hold(hold, today.day, hold.images, ledgers, ttl_s)
  hold_images(hold, -hold.images)
  for _, key in ipairs(hold.scopes) do
    charge(key, today, hold.images * hold.weight, hold.images * hold.estimate_microusd)
  end
  hold.swept = {day = today.day, month = today.month}
end

-- Take back what a sweep booked for *images*, which were settled after all.
local function unsweep(hold, images, ledgers, ttl_s)
  book_hold(hold, hold.swept.day, -images, ledgers, ttl_s)
  for _, key in ipairs(hold.scopes) do
    charge(key, hold.swept, -images * hold.weight, -images * hold.estimate_microusd)
  end
end

-- Undo the sweep of a hold whose process lives.
local function revive(hold, ledgers, ttl_s)
  unsweep(hold, hold.images, ledgers, ttl_s)
  hold.swept = nil
  hold_images(hold, hold.images)
end

-- Book a dead hold; keep it for args.keep_s, so that a late settlement or renewal replaces the booking. Its claims end
-- at once, and other orders hear of it.
local function bury(holds, details, fence, hold, now, today, ledgers, args)
  sweep(hold, today, ledgers, args.ledger_ttl_s)
  redis.call('HSET', details, fence, cjson.encode(hold))
  redis.call('ZADD', holds, whole(now + args.keep_s * 1000000), fence)
  local freed = {}
  for _, index in ipairs(hold.pool ~= '' and hold.indices or {}) do
    if is_claim(redis.call('HGET', hold.pool, index), fence) then
      redis.call('HDEL', hold.pool, index)
      freed[#freed + 1] = index
    end
  end
  if #freed > 0 then redis.call('PUBLISH', args.channel, cjson.encode({pool = hold.pool, indices = freed, by = ''})) end
end

-- Claim for another lease those *indices* that a hold still has, unless another order took them.
local function claim_again(pool, indices, hold, expires, fence)
  local is_held = {}
  for _, index in ipairs(hold.indices) do is_held[index] = true end
  for _, index in ipairs(indices) do
    local entry = is_held[index] and redis.call('HGET', pool, index)
    if is_held[index] and (not entry or is_claim(entry, fence)) then
      redis.call('HSET', pool, index, 'c|' .. expires .. '|' .. fence)
    end
  end
  keep_for(pool, HELD_MS)
end

-- A lease lapses only while a gateway renews the team's leases: after a pause in which none could, such as an outage
-- of this server, everything lives for another lease, in which its process returns.
local function note_renewal(key, now, lease_us)
  local pulse = redis.call('HMGET', key, 'since', 'last')
  local since, last = tonumber(pulse[1]), tonumber(pulse[2])
  if not since or now - last > lease_us / 2 then since = now end
  redis.call('HSET', key, 'since', whole(since), 'last', whole(now))
end

local function may_lapse(key, now, lease_us)
  local pulse = redis.call('HMGET', key, 'since', 'last')
  local since, last = tonumber(pulse[1]), tonumber(pulse[2])
  return since ~= nil and since + lease_us <= now and now - last <= lease_us / 2
end
