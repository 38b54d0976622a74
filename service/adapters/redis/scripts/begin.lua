-- Admit an order and give it its images, all or nothing, in one round trip.
--
-- KEYS[1]   pool of the fingerprint: hash, index -> 'v|created_us|variant JSON' or 'c|expires_us|fence'
-- KEYS[2]   holds by expiry: sorted set, fence -> expires_us
-- KEYS[3]   hold details (see scopes.lua)
-- KEYS[4]   marker of this ask, so that one whose answer was lost is not charged twice; its index, with a window
-- KEYS[5]   keys of the team: hash, key id -> 'expires_us|JSON' (0: never), and 'closed' if the team is
-- KEYS[6]   record of the Idempotency-Key: hash of order, owner, until (end of its lease), result (once final),
--           and 'made|<digest>' -> 'index|variant JSON' for images made under it
-- KEYS[7]   pulse: hash of since, last: the team's leases were renewed without a long pause from one to the other
-- KEYS[8]   number of images of this fence that were settled (see finish.lua): if there is one, this ask comes too late
-- KEYS[9]   window of the caller's equal orders (see fanout.lua)
-- KEYS[10..] one hash for each limit scope (see scopes.lua)
-- ARGV[1]   JSON of the ask (service/adapters/redis/orders.py, _begin_arguments). Its limits are one flat list of
--           key, resource, amount, emission_us (0 unless it is a rate): a list of objects takes twice as long to parse
-- Returns   JSON {id, resumed, ready, mine, awaited, foreign, limits, equal, passed_over}, {id, refused, retry_after_us, limits},
--           {id, denied}, {id, result} or {id, under_way}; limits are a flat list too: remaining, reset_us
--
-- Times are microseconds of the server's own clock. '%.0f' writes 16 digits, which Lua's tostring would round.

local ask = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fence = ask.fence
-- A server that hung runs what it received in any order. The order has given this ask up: a hold would have no owner.
if redis.call('EXISTS', KEYS[8]) == 1 then return cjson.encode({id = ask.id, denied = 'late'}) end
local lapses = may_lapse(KEYS[7], now, ask.lease_us)

-- Recheck the key and the team: a process may not know yet that they were just revoked or closed.
local standing = redis.call('HMGET', KEYS[5], ask.key_id, 'closed')
if ask.has_key then
  local expires = tonumber(string.match(standing[1] or '', '^(%d+)|'))
  if not expires or (expires > 0 and expires <= now) then return cjson.encode({id = ask.id, denied = 'key'}) end
end
if standing[2] then return cjson.encode({id = ask.id, denied = 'team'}) end

local used, foreign = {}, 0
for _, index in ipairs(ask.used) do used[index] = true end

local marker = redis.call('GET', KEYS[4])
local window = ask.fanout_ms > 0 and read_window(KEYS[9], tonumber(marker or ''), ask.most_different)
local passed_over = window and not window.shares and window.handed_out or {}
for _, index in ipairs(passed_over) do used[index] = true end

-- A repeated Idempotency-Key: refuse another order, return a final answer again, leave a running order alone, and
-- resume an interrupted one with all images it made, even if the cache would not be used.
local resumed = {}
if ask.has_idempotency then
  local known = redis.call('HMGET', KEYS[6], 'order', 'owner', 'until', 'result')
  if known[1] and known[1] ~= ask.order then return cjson.encode({id = ask.id, denied = 'idempotency'}) end
  if known[4] then return cjson.encode({id = ask.id, result = known[4]}) end
  if known[2] and known[2] ~= ask.id and tonumber(known[3]) > (lapses and now or 0) then
    return cjson.encode({id = ask.id, under_way = true})
  end
  if known[1] and ask.round == 0 then
    local fields = redis.call('HGETALL', KEYS[6])
    for i = 1, #fields, 2 do
      local index, variant = string.match(fields[i + 1], '^(%-?%d+)|(.*)$')
      local is_made = string.sub(fields[i], 1, 5) == 'made|'
      -- An image outside of pools has no index of its own.
      if is_made and #resumed < ask.n and (tonumber(index) < 0 or not used[tonumber(index)]) then
        resumed[#resumed + 1] = {index = tonumber(index), age_us = 0, variant = variant}
        used[tonumber(index)] = true
      end
    end
    table.sort(resumed, function(a, b) return a.index < b.index end)
  end
end
-- Read the pool: the oldest variants to return, live claims, and the fields whose index is free. Most of the time of this
-- script: a variant that is newer than enough others costs no more than a look at its age, however full the pool is.
-- What has expired, or is another pool's, goes once it would be returned, or its index is needed.
local entries = ask.has_pool and redis.call('HGETALL', KEYS[1]) or {}
local most = ask.fresh and 0 or math.max(0, ask.n - #resumed)
local oldest, claims, mine, stale, is_free = {}, {}, {}, {}, {}
-- By the window of equal orders, which has these only if there are no others.
local handed_out = {}
local newest_at = most > 0 and math.huge or 0
-- Variants settled together have the same age.
local function is_older(one, other) return one.at < other.at or one.at == other.at and one.index < other.index end
local function consider(field, at, entry)
  local variant = {index = tonumber(field), at = at, entry = entry}
  local is_foreign = string.find(entry, ask.mark, 20, true) ~= 20
  -- Up to a tenth shorter, so that variants made together do not expire together.
  if is_foreign or at + ask.ttl_us - ask.ttl_us / 10 * (at % 1000000 / 1000000) <= now then
    stale[#stale + 1], is_free[field] = field, true
    -- Written for another pool: never returned, but counted.
    if is_foreign then foreign = foreign + 1 end
  elseif at > now - ask.max_age_us and not used[variant.index] then
    local list = window and window.shares and window.has[variant.index] and handed_out or oldest
    local place = #list
    while place > 0 and is_older(variant, list[place]) do place = place - 1 end
    table.insert(list, place + 1, variant)
    list[most + 1] = nil
    if #oldest == most then newest_at = oldest[most].at end
  end
end
local sub, byte, VARIANT = string.sub, string.byte, string.byte('v')
for i = 1, #entries, 2 do
  local entry = entries[i + 1]
  if byte(entry) == VARIANT then
    -- Microseconds have 16 digits from 2001 to 2286.
    local at = sub(entry, 3, 18) + 0
    if at <= newest_at then consider(entries[i], at, entry) end
  elseif tonumber(string.match(entry, '^c|(%d+)')) > now or not lapses then
    local index = tonumber(entries[i])
    if is_claim(entry, fence) then mine[#mine + 1] = index
    elseif not used[index] then claims[#claims + 1] = index end
  else
    is_free[entries[i]] = true
  end
end
table.sort(claims)
table.sort(mine)
if #oldest == 0 then oldest = handed_out end
-- Only for want of images, as those come at once.
if #oldest == 0 and window and window.shares then put_new_first(window, claims) end

-- A repeated ask has its earlier claims (mine), and may find more ready variants, or fewer, than the first.
local seen_before = marker ~= false
local hold = seen_before and redis.call('HGET', KEYS[3], fence)
hold = hold and cjson.decode(hold)
if hold and not ask.has_pool then mine = hold.indices end

-- Plan: ready variants, oldest first; then claims of others to wait for; then new claims.
local ready, awaited, claimed = {}, {}, {}
local missing = math.max(0, ask.n - #resumed - #mine)
if not ask.fresh then
  for i = 1, math.min(missing, #oldest) do
    local each = oldest[i]
    ready[i] = {index = each.index, age_us = now - each.at, variant = sub(each.entry, 20)}
  end
  missing = missing - #ready
  -- By index, so that the same order has the same answer.
  table.sort(ready, function(a, b) return a.index < b.index end)
  if not ask.only_ready then
    for _, index in ipairs(claims) do
      if missing == 0 then break end
      awaited[#awaited + 1] = index
      missing = missing - 1
    end
  end
end
if ask.only_ready then missing = 0 end
local occupied, highest = {}, -1
for i = 1, missing > 0 and #entries or 0, 2 do
  local index = tonumber(entries[i])
  occupied[index] = not is_free[entries[i]]
  highest = math.max(highest, index)
end
local candidate = ask.fresh and highest + 1 or 0
while missing > 0 do
  if not occupied[candidate] and not used[candidate] then
    claimed[#claimed + 1] = candidate
    missing = missing - 1
  end
  candidate = candidate + 1
end

-- Limits: all or none. Rates use the arithmetic of service/domain/gcra.py, the others count settled and held images.
-- Of several refusals, the longest is returned.
local images = seen_before and 0 or #claimed
local requests = not seen_before and ask.round == 0 and 1 or 0
local today = calendar(now)
local scopes = {}
for _, scope in ipairs(ask.scopes) do scopes[scope.key] = read_scope(KEYS[scope.key], today) end
local refused, longest_us = nil, -1
local function refuse(i, wait_us)
  if wait_us > longest_us then refused, longest_us = i - 1, wait_us end
end
local limits = {}
for i = 1, #ask.limits, 4 do
  local limit = {key = ask.limits[i], resource = ask.limits[i + 1], amount = ask.limits[i + 2]}
  local emission_us = ask.limits[i + 3]
  local scope = scopes[limit.key]
  limits[#limits + 1] = limit
  if emission_us > 0 then
    local weight = limit.resource == 'requests' and requests or images * ask.weight
    local burst_us = emission_us * limit.amount
    limit.emission_us, limit.burst_us = emission_us, burst_us
    limit.arrival = math.min(math.max(scope[limit.resource], now), now + burst_us)
    limit.wanted = limit.arrival + weight * emission_us
    local over_us = limit.wanted - now - burst_us
    if weight > 0 and over_us > 0 then refuse(#limits, over_us) end
  else
    local of_each, ends_us
    limit.used, of_each, ends_us = read_use(limit.resource, scope, ask, today, now)
    limit.wanted = images * of_each
    limit.reset_us = ends_us - now
    -- An image without a price costs nothing here, but is refused once the budget is used up.
    local is_over = limit.used + limit.wanted > limit.amount or limit.used >= limit.amount
    -- The end of another order is unknown: retry after a second.
    if images > 0 and is_over then refuse(#limits, limit.reset_us > 0 and limit.reset_us or 1000000) end
  end
end
local states = {}
for _, limit in ipairs(limits) do
  local remaining, reset_us
  if limit.emission_us then
    local arrival = refused and limit.arrival or limit.wanted
    reset_us = arrival - now
    remaining = math.floor((limit.burst_us - reset_us) / limit.emission_us)
  else
    reset_us = limit.reset_us
    remaining = math.max(0, limit.amount - limit.used - (refused and 0 or limit.wanted))
  end
  states[#states + 1], states[#states + 2] = remaining, reset_us
end
if refused then
  return cjson.encode({id = ask.id, refused = refused, retry_after_us = longest_us, limits = states})
end

-- Write.
for _, limit in ipairs(limits) do
  if limit.emission_us and limit.wanted > limit.arrival then
    local changes = scopes[limit.key].changes
    changes[#changes + 1], changes[#changes + 2] = limit.resource, whole(limit.wanted)
  end
end
if #claimed > 0 then
  hold = hold or {
    ledger = ask.ledger, images = 0, indices = {}, weight = ask.weight, estimate_microusd = ask.estimate_microusd,
    is_priced = ask.is_priced, process = ask.process, id = ask.id,
    pool = ask.has_pool and KEYS[1] or '', record = ask.has_idempotency and KEYS[6] or '',
  }
  hold.images, hold.scopes, hold.holding = hold.images + #claimed, {}, {}
  for _, index in ipairs(claimed) do hold.indices[#hold.indices + 1] = index end
end
for position, scope in ipairs(ask.scopes) do
  local key, running, changes = KEYS[scope.key], scopes[scope.key].running, scopes[scope.key].changes
  if #claimed > 0 then hold.scopes[position] = key end
  if #claimed > 0 and scope.holds then
    add_to(running, hold, #claimed)
    hold.holding[#hold.holding + 1] = key
    changes[#changes + 1], changes[#changes + 2] = 'running', encode_running(running)
  end
  if #changes > 0 then
    redis.call('HSET', key, unpack(changes))
    keep_for(key, #claimed > 0 and scope.holds and HELD_MS or 120000)
  end
end
if ask.has_idempotency then
  redis.call('HSET', KEYS[6], 'order', ask.order, 'owner', ask.id, 'until', whole(now + ask.lease_us))
  redis.call('PEXPIRE', KEYS[6], ask.idempotency_ms)
end
local given = ready[1] and ready[1].index or awaited[1] or claimed[1] or mine[1]
if window then write_window(KEYS[9], window, given, #ready > 0, ask.fanout_ms) end
if ask.round == 0 or #claimed > 0 then redis.call('SET', KEYS[4], window and given or '', 'PX', ask.marker_ms) end
-- Lua's stack bounds unpack(); the next ask removes the rest.
if #stale > 0 then redis.call('HDEL', KEYS[1], unpack(stale, 1, math.min(#stale, 1000))) end
if #claimed > 0 then
  local expires = now + ask.lease_us
  if ask.has_pool then
    local claim = string.format('c|%.0f|%s', expires, fence)
    for _, index in ipairs(claimed) do redis.call('HSET', KEYS[1], index, claim) end
    keep_for(KEYS[1], HELD_MS)
  end
  redis.call('ZADD', KEYS[2], whole(expires), fence)
  redis.call('HSET', KEYS[3], fence, cjson.encode(hold))
end
for _, index in ipairs(claimed) do mine[#mine + 1] = index end

return cjson.encode({
  id = ask.id,
  resumed = resumed,
  ready = ready,
  mine = mine,
  awaited = awaited,
  foreign = foreign,
  limits = states,
  equal = window and window.orders + 1 or 0,
  passed_over = passed_over,
})
