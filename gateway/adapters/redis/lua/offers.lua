-- ================================================================================================= offers
--[[
What of a ladder is granted. Words of an offer in ARGV, from `at`: FAIR (0 or 1), POOL ('' for none, else name|period),
its SIZE in seconds, SPARE (reserve: '' or seconds) or COVERED (extend: micro-units), FEE, then SECONDS and MICROS of
each rung. Both are counted from the start of the call, MICROS without the fee.

Included time is spent before money, in whole blocks from the first on, and only by a call to which nothing else was
granted yet: P[n] - P[a] is the price of n blocks of which the first a are included, with the fee at the first paid
one. Where the price is not certain before the answer (SPARE), a rung is included as a whole, with SPARE seconds for
the longest block that an answer may make of its last one, or not at all.

Fair: a call gets at most an equal share of what is left among the tenant's live calls, but never less than the first
rung. With plenty of credit a share is more than the whole ladder.
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
  local first = at + 5
  return { is_fair = args[at] == '1', pool = args[at + 1], size = whole(args[at + 2], 0), basis = args[at + 3],
           fee = whole(args[at + 4], 0), words = args, first = first, rungs = math.floor((#args - first + 1) / 2) }
end

-- Seconds and micro-units of one rung. Few of a ladder are ever looked at: the last one, as a rule.
local function rung(offer, i)
  local at = offer.first + 2 * (i - 1)
  local seconds, micros = whole(offer.words[at], 1), whole(offer.words[at + 1], 0)
  if micros + offer.fee > MAX then reject('bad_amount', 'a rung with its fee costs more than 2^53 - 1 micro-units') end
  return seconds, micros
end

-- The last rung that ends within so many seconds: its number, seconds and micro-units; nil when none does.
local function last_within(offer, most_seconds)
  for i = offer.rungs, 1, -1 do
    local seconds, micros = rung(offer, i)
    if seconds <= most_seconds then return i, seconds, micros end
  end
end

-- How many seconds are included in all, and what they cover of the micro-units of a longer call.
local function reach_of_pool(books, call, offer)
  local covered = offer.is_first and 0 or whole(offer.basis, 0)
  if offer.pool == '' or call.granted > call.included then return call.included, covered end
  local reach = call.included + math.max(0, offer.size - pool_taken(books, offer.pool))
  local i, seconds, micros = last_within(offer, reach)
  if not i then return call.included, covered end
  return math.max(call.included, seconds), math.max(covered, micros)
end

-- A first quantum whose price is not certain: the whole rung within the pool, or nothing of it.
local function included_whole(books, offer, room)
  local spare = whole(offer.basis, 0)
  local most = math.min(offer.size - pool_taken(books, offer.pool) - spare, room.time, room.call_time)
  local i, seconds = last_within(offer, most)
  if i then return { seconds = seconds, price = 0, included = seconds + spare, is_short = i < offer.rungs } end
end

-- An equal share of what is left among the tenant's live calls, this one counted.
local function share(books, offer, left)
  offer.share = left
  if offer.is_fair then
    offer.share = math.floor(left / math.max(1, redis.call('ZCARD', books.live_key) + (offer.is_first and 1 or 0)))
  end
  return offer.share
end

-- What the call gets: seconds, price in all, included seconds in all, is_short (of the ladder), is_cut (for credit, and not
-- for a limit or included time), is_credit_short (not even all that is left would pay for what limits allow). Or nil, and
-- why the first rung is beyond it. Only credit is shared: a limit may be of this caller alone.
local function best_grant(books, call, offer, paid, curbs)
  local left, room = available(books.account), room_of(books, curbs)
  if left < 0 then return nil, refusal('no_credit') end
  local is_uncertain = offer.is_first and offer.pool ~= '' and offer.basis ~= ''
  local grant = is_uncertain and included_whole(books, offer, room)
  if grant then return grant end
  local included, covered, last = call.included, 0, offer.rungs
  if not is_uncertain then included, covered = reach_of_pool(books, call, offer) end
  local most, last_price, seconds, price = share(books, offer, left)
  for i = last, 1, -1 do
    local micros
    seconds, micros = rung(offer, i)
    price = seconds <= included and 0 or math.max(0, offer.fee + micros - covered)
    if is_within(room, call, seconds, price, paid) then
      last_price = last_price or price -- of what limits allow
      if price - paid <= (i == 1 and left or most) then
        return { seconds = seconds, price = price, included = included, is_short = i < last, is_cut = last_price > price,
                 is_credit_short = last_price - paid > left }
      end
    end
  end
  return nil, judge_rung(books, curbs, call, seconds, price, paid)
end
