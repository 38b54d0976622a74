-- Give equal orders that a caller sends at once different images (docs/adr/0018). Prepended to begin.lua.
--
-- A window is a string '<orders>|<m or s>|<indices>' that expires a fixed time after its first order: the number of its
-- orders, if it makes or shares, and the indices that they got since it began or took its turns anew. The rule is that
-- of service/domain/fanout_window.py, which says more.

-- Return the window of an ask. *got* is the index that the same ask got before, if it is sent again; a window that
-- handed out *most* shares.
local function read_window(key, got, most)
  local orders, mode, list = string.match(redis.call('GET', key) or '', '^(%d+)|([ms])|(.*)$')
  local window = {is_new = not orders, orders = tonumber(orders) or 0, handed_out = {}, has = {}}
  for text in string.gmatch(list or '', '%d+') do
    local index = tonumber(text)
    if index ~= got then window.handed_out[#window.handed_out + 1], window.has[index] = index, true end
  end
  window.shares = mode == 's' or #window.handed_out >= most
  if got and orders then window.orders = window.orders - 1 end
  return window
end

-- Move the indices that the window has not handed out to the front.
local function put_new_first(window, indices)
  local kept = 0
  for _, index in ipairs(indices) do
    if not window.has[index] then
      kept = kept + 1
      indices[kept] = index
    end
  end
end

-- Note the *index* of the window's next order.
local function write_window(key, window, index, was_ready, window_ms)
  local handed_out = window.has[index] and {index} or {index, unpack(window.handed_out)}
  local began_with_hit = was_ready and window.orders == 0
  local mode = (window.shares or began_with_hit) and 's' or 'm'
  local text = (window.orders + 1) .. '|' .. mode .. '|' .. table.concat(handed_out, ',')
  if window.is_new then
    redis.call('SET', key, text, 'PX', window_ms)
  else
    redis.call('SET', key, text, 'KEEPTTL')
  end
end
