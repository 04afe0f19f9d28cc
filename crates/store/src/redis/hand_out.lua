-- Takes back what was not needed of a limit, then hands out what is there, up to what is wanted.
-- All numbers are whole and below 2^53, so that they are exact, but for a product where the window changes.
local requests, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local wanted, returned = tonumber(ARGV[3]), tonumber(ARGV[4])

local time = redis.call('TIME')
local second, micro = tonumber(time[1]), tonumber(time[2])

-- In nanoseconds: how long one request takes to come back, and all of them.
local share = math.max(math.floor(window * 1e9 / requests), 1)
local whole = share * requests

-- What was missing, when that was, and the window it was missing of.
local missing = 0
local kept = redis.call('GET', KEYS[1])
if kept then
  local was, at, micros, of = string.match(kept, '^(%d+) (%d+) (%d+) (%d+)$')
  if was then
    local passed = (second - at) * 1e9 + (micro - micros) * 1e3
    missing = math.max(was - passed, 0)
    if tonumber(of) ~= window then
      missing = math.floor(missing * window / of)
    end
  end
end

missing = math.max(math.min(missing, whole) - returned, 0)
local granted = math.min(wanted, math.floor((whole - missing) / share))
missing = missing + granted * share

if missing > 0 then
  local value = string.format('%.0f %.0f %.0f %.0f', missing, second, micro, window)
  redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.ceil(missing / 1e6)))
elseif kept then
  redis.call('DEL', KEYS[1])
end
return {granted, missing}
