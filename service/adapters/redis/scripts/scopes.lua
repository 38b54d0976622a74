-- Count the use of one limit scope (a user, a key, a team). Prepended to every script that needs it.
--
-- A scope is one hash:
--   requests, images   theoretical arrival time in microseconds (GCRA)
--   day                'YYYYMMDD|weighted images' settled on that day
--   month              'YYYYMM|microusd' settled in that month
--   hold|<fence>       'expires_us|images|weight|microusd' of a running order; weight and microusd are for one image
--   held               'images|weighted|microusd|looked_us': the sums of all holds, valid until looked_us, when the
--                      first of them may expire and they are added up again
--
-- Days and months are UTC by the server's own clock. Expired holds do not count.

local DAY_US = 86400000000
local KEEP_MS = 40 * 86400000

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

local function read_hold(text)
  local expires, images, weight, microusd = string.match(text, '^(%d+)|(%d+)|(%d+)|(%d+)$')
  return {
    expires = tonumber(expires), images = tonumber(images), weight = tonumber(weight), microusd = tonumber(microusd),
  }
end

local function encode_hold(hold)
  return string.format('%.0f|%d|%d|%.0f', hold.expires, hold.images, hold.weight, hold.microusd)
end

local function read_held(text)
  local images, weighted, microusd, looked = string.match(text or '', '^(%d+)|(%d+)|(%d+)|(%d+)$')
  return {
    images = tonumber(images) or 0, weighted = tonumber(weighted) or 0, microusd = tonumber(microusd) or 0,
    looked = tonumber(looked) or math.huge,
  }
end

local function encode_held(held)
  return string.format('%d|%d|%.0f|%.0f', held.images, held.weighted, held.microusd, held.looked)
end

-- Add *images* of a hold to the sums; a negative number subtracts them.
local function add_to(held, hold, images)
  held.images = held.images + images
  held.weighted = held.weighted + images * hold.weight
  held.microusd = held.microusd + images * hold.microusd
  if images > 0 then held.looked = math.min(held.looked, hold.expires) end
end

-- Add up the live holds, and remove the expired ones.
local function add_up(key, now)
  local held, entries = read_held(nil), redis.call('HGETALL', key)
  for i = 1, #entries, 2 do
    if string.sub(entries[i], 1, 5) == 'hold|' then
      local hold = read_hold(entries[i + 1])
      if hold.expires > now then add_to(held, hold, hold.images) else redis.call('HDEL', key, entries[i]) end
    end
  end
  if held.images > 0 then redis.call('HSET', key, 'held', encode_held(held)) else redis.call('HDEL', key, 'held') end
  return held
end

local function read_scope(key, now, today)
  local fields = redis.call('HMGET', key, 'requests', 'images', 'day', 'month', 'held')
  local held = read_held(fields[5])
  if held.looked <= now then held = add_up(key, now) end
  return {
    requests = tonumber(fields[1] or 0), images = tonumber(fields[2] or 0),
    day = read_counter(fields[3], today.day), month = read_counter(fields[4], today.month), held = held,
    changes = {},
  }
end

-- Return a limit's use by *scope*, the share of one image of *ask*, and the end of its window. Every kind of limit in
-- service/domain/limits.py has a line here or, if it is a rate, a field in read_scope.
local function read_use(resource, scope, ask, today, now)
  local held = scope.held
  if resource == 'images_per_day' then return scope.day + held.weighted, ask.weight, today.day_ends_us end
  if resource == 'images_in_flight' then return held.images, 1, now end
  if resource == 'budget_per_month' then return scope.month + held.microusd, ask.estimate_microusd, today.month_ends_us end
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

-- Keep a key for at least *ms*; a quarter longer, or every order would write its expiry again.
local function keep_for(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms + math.floor(ms / 4)) end
end
