-- ================================================================================================= offers
--[[
What of a ladder is granted. Words of an offer in ARGV, from `at`: FAIR (0 or 1), POOL ('' for none, else name|period),
its SIZE in seconds, SPARE (reserve: '' or seconds) or COVERED (extend: micro-units), FEE, then SECONDS and MICROS of
each rung. Both are counted from the start of the call, MICROS without the fee.

Included time is spent before money, in whole blocks from the first on, and only by a call to which nothing else was
granted yet: P[n] - P[a] is the price of n blocks of which the first a are included, with the fee at the first paid
one. Where the price is not certain before the answer (SPARE), a rung is included as a whole, with SPARE seconds for
the longest block that an answer may make of its last one, or not at all.

Fair: when credit does not reach for the whole ladder, a call gets at most an equal share of what is left among the
tenant's live calls, but never less than the first rung.
]]

local function pool_taken(books, name)
  if not books.pools[name] then
    books.pools[name] = tonumber(redis.call('HGET', books.account_key, 'pool:' .. name) or 0)
  end
  return books.pools[name]
end

-- Seconds taken from a pool, or returned; the period is part of its name, so they return to where they came from.
local function take_included(books, call, seconds)
  if seconds == call.included then return 0 end
  local delta = seconds - call.included
  books.pools[call.pool] = pool_taken(books, call.pool) + delta
  call.included = seconds
  return delta
end

local function read_offer(args, at)
  local offer = { is_fair = args[at] == '1', pool = args[at + 1], size = whole(args[at + 2], 0), basis = args[at + 3],
                  fee = whole(args[at + 4], 0), seconds = {}, micros = {} }
  for i = at + 5, #args - 1, 2 do
    local seconds, micros = whole(args[i], 1), whole(args[i + 1], 0)
    if micros + offer.fee > MAX then reject('bad_amount', 'a rung with its fee costs more than 2^53 - 1 micro-units') end
    table.insert(offer.seconds, seconds)
    table.insert(offer.micros, micros)
  end
  return offer
end

-- The number of the last rung for which `fits` is true, or nil.
local function last_rung(offer, fits)
  for i = #offer.seconds, 1, -1 do
    if fits(offer.seconds[i], offer.micros[i]) then return i end
  end
end

-- How many seconds are included in all, and what they cover of the micro-units of a longer call.
local function reach_of_pool(books, call, offer)
  local covered = offer.is_first and 0 or whole(offer.basis, 0)
  if offer.pool == '' or call.granted > call.included then return call.included, covered end
  local reach = call.included + math.max(0, offer.size - pool_taken(books, offer.pool))
  local rung = last_rung(offer, function(seconds) return seconds <= reach end)
  if not rung then return call.included, covered end
  return math.max(call.included, offer.seconds[rung]), math.max(covered, offer.micros[rung])
end

-- A first quantum whose price is not certain: the whole rung within the pool, or nothing of it.
local function included_whole(books, call, offer)
  local spare = whole(offer.basis, 0)
  local left = offer.size - pool_taken(books, offer.pool)
  local rung = last_rung(offer, function(seconds) return seconds + spare <= left end)
  if rung then return { seconds = offer.seconds[rung], price = 0, included = offer.seconds[rung] + spare, rung = rung } end
end

local function share(books, offer, last_price, paid)
  local left = available(books.account)
  if not offer.is_fair or last_price - paid <= left then return left end
  return math.floor(left / (redis.call('ZCARD', books.live_key) + (offer.is_first and 1 or 0)))
end

-- What the call gets: seconds, price in all, included seconds in all, is_short (of the ladder; is_credit_short: for want
-- of money, not of included time); nil when the first rung is beyond it.
local function best_grant(books, call, offer, paid)
  local left = available(books.account)
  if left < 0 then return nil end
  local last = #offer.seconds
  local is_uncertain = offer.is_first and offer.pool ~= '' and offer.basis ~= ''
  local whole_grant = is_uncertain and included_whole(books, call, offer)
  if whole_grant then
    whole_grant.is_short = whole_grant.rung < last
    return whole_grant
  end
  local included, covered = call.included, 0
  if not is_uncertain then included, covered = reach_of_pool(books, call, offer) end
  local function price(i)
    return offer.seconds[i] <= included and 0 or math.max(0, offer.fee + offer.micros[i] - covered)
  end
  local most = last > 0 and share(books, offer, price(last), paid)
  for i = last, 1, -1 do
    if price(i) - paid <= (i == 1 and left or most) then
      return { seconds = offer.seconds[i], price = price(i), included = included, is_short = i < last,
        is_credit_short = i < last }
    end
  end
end
