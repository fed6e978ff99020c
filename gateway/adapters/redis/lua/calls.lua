-- ================================================================================================== calls
--[[
A call's states
  reserved -> answered -> settled                      the common life
  reserved -> in_doubt -> answered|settled|released    its validity ran out and nobody answered: held, not charged
  reserved -> released                                 a tombstone; so is the release of a call that never was
  released -> settled                                  a gateway that is not the owner any more heard the answer alone
  answered -> estimated -> settled                     an estimate is charged; one settle replaces it
  refused                                              kept for a minute, so that a repeated ask hears the same
settled, released and estimated hold nothing; they leave the live set and expire when ids are forgotten. An estimate
keeps its figures and its meta: they price its correction.

What a call takes in memory
  Its hash is compact as long as no field is longer than LONGEST_FIELD. The string beside it (`meta:ID`) has the rest:
  its parts, on the first line, where they are longer than that; the tags by which limits count it; then its meta.
  The end of the meta, its price, is that of many calls. The hash `prices` has it once: field ID is the text, field #ID
  the number of live calls that have it; with the last of them it goes. An estimate gets its price back into its meta.
]]

local REFUSAL_KEPT_MS = 60000
local STORED = { 'state', 'step', 'granted', 'charged', 'held', 'leg', 'answered_at', 'valid_until', 'included', 'pool',
                 'price' }
local LONGEST_FIELD = 64 -- the server's own default; a longer one makes a hash some three times as large
local LONG = '+' -- stands for parts that are in the string

-- The parts, the tags and the meta of what is beside the hash.
local function read_beside(meta_key)
  local beside = redis.call('GET', meta_key)
  if beside then return beside:match('^([^\n]*)\n([^\n]*)\n(.*)$') end
end

local function tags_of_call(books, call)
  return call.tags or (redis.call('GET', books.meta_key) or ''):match('^[^\n]*\n([^\n]*)') or ''
end

-- What an answered call costs a minute: its grant's price over its seconds, up to a whole micro-unit. What is beyond
-- 2^40 counts as so much, so that their sum stays exact.
local MOST_RATE = 2 ^ 40

local function rate_of(call)
  return math.min(MOST_RATE, math.ceil((call.charged + call.held) * 60 / call.granted))
end

-- Before a step announces: the account's rate, where this call's has changed.
local function count_rate(books, call, is_talking)
  local rate = is_talking and rate_of(call) or 0
  books.account.rate = math.max(0, books.account.rate + rate - call.rate)
  call.rate = rate
end

-- The fence of a step that its gateway decided on as the owner of the call's switch (see leases.lua), beside the largest
-- that the call knows.
local function judge_fence(fence, known)
  fence.known = (known or 0) + 0
  if fence.number < fence.known then
    reject('fenced', 'another gateway has taken over the switch of this call')
  end
end

-- The last words of what writes a call: its fence, where that has risen.
local function risen(fence)
  if fence and fence.number > fence.known then
    fence.known = fence.number
    return 'fence', fence.number
  end
end

-- Few steps look at a call's other fields.
local function field_of_call(books, field)
  return redis.call('HGET', books.call_key, field) or nil
end

local function read_call(books, fence)
  local state, step, done, granted, charged, held, parts, included, pool, price, known = unpack(redis.call('HMGET',
    books.call_key, 'state', 'step', 'done', 'granted', 'charged', 'held', 'parts', 'included', 'pool', 'price', 'fence'))
  if fence then judge_fence(fence, known) end
  local tags, meta
  if parts == LONG then parts, tags, meta = read_beside(books.meta_key) end
  local call = {
    state = state or nil, step = (step or 0) + 0, done = done, granted = (granted or 0) + 0,
    charged = (charged or 0) + 0, held = (held or 0) + 0, parts = parts_of(parts or ''), included = (included or 0) + 0,
    pool = pool or '', price = price or '', tags = tags, meta = meta, rate = 0,
  }
  if state == 'answered' then call.rate = rate_of(call) end
  return call
end

local function known_call(books, fence)
  local call = read_call(books, fence)
  if not call.state or call.state == 'refused' then
    reject('unknown_call', 'nothing was reserved for this call, or it is older than ids are kept')
  end
  return call
end

local function is_closed(call)
  return call.state == 'settled' or call.state == 'released' or call.state == 'estimated'
end

local function must_be_newer(call, step)
  if step <= call.step then
    reject('stale_step', 'step ' .. text(step) .. ' came after step ' .. text(call.step) .. ' of this call')
  end
end

-- call.tags, call.meta: to be written, too; nil where they are as they were, as is call.valid_until.
local function write_call(books, id, call, ...)
  local parts, long = parts_text(call.parts), ''
  if #parts > LONGEST_FIELD then parts, long = LONG, parts end
  if call.meta or call.tags or long ~= '' then
    local _, tags, meta = nil, call.tags, call.meta
    if not (tags and meta) then _, tags, meta = read_beside(books.meta_key) end
    redis.call('SET', books.meta_key, long .. '\n' .. (call.tags or tags or '') .. '\n' .. (call.meta or meta or ''))
  end
  local valid_until = call.valid_until or field_of_call(books, 'valid_until')
  redis.call('HSET', books.call_key, 'state', call.state, 'step', call.step, 'granted', call.granted,
    'charged', call.charged, 'held', call.held, 'parts', parts, 'included', call.included,
    'pool', call.pool, 'valid_until', valid_until, ...)
  redis.call('ZADD', books.live_key, valid_until, id)
  write_limits(books)
end

local function drop_price(books, call)
  if call.price ~= '' and redis.call('HINCRBY', books.prices_key, '#' .. call.price, -1) <= 0 then
    redis.call('HDEL', books.prices_key, call.price, '#' .. call.price)
  end
  call.price = ''
end

-- Its meta from now on: what is its own, and the id and the text of its price.
local function keep_meta(books, call, meta, price, price_text)
  call.meta = meta
  if price == call.price then return end
  drop_price(books, call)
  if price ~= '' and redis.call('HINCRBY', books.prices_key, '#' .. price, 1) == 1 then
    redis.call('HSET', books.prices_key, price, price_text)
  end
  call.price = price
end

-- A closed call shrinks to what a repeat needs.
local function close_call(books, id, call, kept_ms, ...)
  drop_price(books, call)
  redis.call('ZREM', books.live_key, id)
  redis.call('DEL', books.call_key, books.meta_key)
  redis.call('HSET', books.call_key, ...)
  redis.call('PEXPIRE', books.call_key, kept_ms)
  write_limits(books)
end

-- An estimated one keeps its leg and its meta besides, so that a late settle or a CDR can correct it.
local function close_estimated(books, id, call, kept_ms, ...)
  if call.price ~= '' then
    local meta = call.meta or select(3, read_beside(books.meta_key))
    call.meta = meta .. (redis.call('HGET', books.prices_key, call.price) or '')
    drop_price(books, call)
  end
  write_call(books, id, call, 'price', '', ...)
  redis.call('ZREM', books.live_key, id)
  redis.call('PEXPIRE', books.call_key, kept_ms)
  redis.call('PEXPIRE', books.meta_key, kept_ms)
end
