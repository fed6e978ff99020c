-- ============================================================================================ forecasts
--[[
When nothing will be available any more, at the present rate of spending; gateway/core/forecast.py has the rules, and
the same arithmetic. Fields of the account:

  rate    micro-units a minute that the answered calls cost; each step of a call keeps it (see calls.lua)
  ahead   "BEGAN CHARGES THIS NEXT": when the hour began in which we are (ms); the account's charges then; what was
          charged in the same hour of the week before, and in the one after that (micro-units)

The key `hours` has the charges of the last 168 hours, one word each, hour 0 of the epoch first: hundredths of a unit,
rounded up. They are written when the clock passes into another hour, so no step of a call touches them.
]]

Forecast = { HOUR_MS = 3600000, HOURS = 168, HUNDREDTH = 10000, AHEAD = '^(%d+) (%d+) (%d+) (%d+)$' }

function Forecast.ahead(books)
  local stored = redis.call('HGET', books.account_key, 'ahead') or ''
  local began, charges, this, next = stored:match(Forecast.AHEAD)
  return began and tonumber(began) / Forecast.HOUR_MS, tonumber(charges), tonumber(this or 0), tonumber(next or 0)
end

-- Seconds until nothing is available, and micro-units a minute then; nil where nothing is spent.
function Forecast.of(books)
  local left, hour, _, this, next = math.max(0, available(books.account)), Forecast.ahead(books)
  if hour ~= math.floor(books.now / Forecast.HOUR_MS) then this, next = 0, 0 end
  local now_rate = math.max(books.account.rate, math.ceil(this / 60))
  local next_rate = math.max(books.account.rate, math.ceil(next / 60))
  local seconds = math.ceil((Forecast.HOUR_MS - books.now % Forecast.HOUR_MS) / 1000)
  if left == 0 and now_rate + next_rate > 0 then return 0, now_rate > 0 and now_rate or next_rate end
  if now_rate > 0 and left * 60 <= now_rate * seconds then return math.floor(left * 60 / now_rate), now_rate end
  if next_rate == 0 then return nil end
  return seconds + math.floor((left * 60 - now_rate * seconds) / next_rate), next_rate
end

-- "SECONDS RATE", or '' where nothing is spent.
function Forecast.words(books)
  local seconds, rate = Forecast.of(books)
  return seconds and reply(seconds, rate) or ''
end

-- The hour that is over goes into its place; those between are hours in which nobody looked, and nothing was charged.
function Forecast.turn(books, key)
  local now_hour, hour, charges = math.floor(books.now / Forecast.HOUR_MS), Forecast.ahead(books)
  if hour == now_hour then return end
  local hours = {}
  for word in (redis.call('GET', key) or ''):gmatch('%d+') do table.insert(hours, word) end
  for i = #hours + 1, Forecast.HOURS do hours[i] = '0' end
  local function place(of) return of % Forecast.HOURS + 1 end
  if hour and hour < now_hour then
    for gone = math.max(hour, now_hour - Forecast.HOURS), now_hour - 1 do hours[place(gone)] = '0' end
    hours[place(hour)] = text(math.ceil(math.max(0, books.account.charges - charges) / Forecast.HUNDREDTH))
    redis.call('SET', key, table.concat(hours, ' '))
  end
  local function micros(of) return tonumber(hours[place(of)]) * Forecast.HUNDREDTH end
  change(books, 'ahead', reply(now_hour * Forecast.HOUR_MS, books.account.charges,
    micros(now_hour), micros(now_hour + 1)))
end
