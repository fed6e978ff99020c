-- =================================================================================================== lots
--[[
A lot is a top-up: what of it is free, what live calls hold, when it expires. The soonest to expire is drawn first;
beyond all lots there is the credit limit, which is lot 0 in a call's parts. Field lot:N of the account keeps
"FREE HELD EXPIRES EXPIRED NOTICES" (EXPIRES 0: never); the sorted set `lots` has those with free money, by expiry.
]]

local LOTS_AT_ONCE = 4

local function is_before(books, one, other)
  local a, b = books.lots[one].expires, books.lots[other].expires
  return a < b or (a == b and one < other)
end

-- The queue has every lot in memory with free money, and perhaps some that have none any more.
local function enqueue(books, number)
  local lot = books.lots[number]
  if not lot.is_queued then
    lot.is_queued = true
    table.insert(books.queue, number)
  end
  return lot
end

-- listed: under which expiry it stands in the sorted set; nil where it does not.
local function take_in_lot(books, number, stored)
  local free, held, expires, expired, notices = stored:match('^(%d+) (%d+) (%d+) (%d+) (%d+)$')
  free, expires = free + 0, expires + 0
  if expires == 0 then expires = NEVER end
  local lot = { free = free, held = held + 0, expires = expires, expired = expired + 0, notices = notices + 0,
                listed = free > 0 and expires or nil, is_changed = false, is_queued = true }
  books.lots[number] = lot
  books.queue[#books.queue + 1] = number
  return lot
end

local function lot_of(books, number)
  return books.lots[number] or
    take_in_lot(books, number, redis.call('HGET', books.account_key, 'lot:' .. text(number)) or '0 0 0 0 0')
end

local function changed_lot(books, number)
  local lot = lot_of(books, number)
  lot.is_changed = true
  return lot.is_queued and lot or enqueue(books, number)
end

local function new_lot(books, amount, expires)
  local number = seldom(books, 'lots') + 1
  books.account.lots = number
  books.lots[number] = { free = amount, held = 0, expires = expires, expired = 0, notices = 0, is_changed = true }
  enqueue(books, number)
  return number
end

-- The numbers, as words, of the next few with free money, in the order in which they are drawn; and their fields' names.
local function look_for_lots(key, from)
  local numbers, names = redis.call('ZRANGE', key, from, from + LOTS_AT_ONCE - 1), {}
  for i = 1, #numbers do
    local number = numbers[i]:match('[1-9]%d*')
    numbers[i], names[i] = number, 'lot:' .. number
  end
  return numbers, names
end

-- stored: the lots, from `at` on.
local function take_in_lots(books, numbers, stored, at)
  books.loaded = books.loaded + #numbers
  books.has_all = #numbers < LOTS_AT_ONCE
  for i = 1, #numbers do
    local number = numbers[i] + 0
    if not books.lots[number] then take_in_lot(books, number, stored[at + i - 1]) end
    books.frontier = number
  end
end

local function load_lots(books)
  local numbers, names = look_for_lots(books.lots_key, books.loaded)
  take_in_lots(books, numbers, #names > 0 and redis.call('HMGET', books.account_key, unpack(names)) or nil, 1)
end

-- What every step begins with: the account, and with it the lots that are drawn first.
local function find_books(keys)
  local numbers, names = look_for_lots(keys[5], 0)
  local account, was = read_account(keys[1], unpack(names))
  if not account then return nil end
  local books = new_books(keys, account, was)
  take_in_lots(books, numbers, was, LOTS_FROM)
  return books
end

-- Of those in the queue; what is spent leaves it, so that drawing on thousands of lots takes no thousands of looks each.
local function first_in_queue(books)
  local best
  for i = #books.queue, 1, -1 do
    local number = books.queue[i]
    if books.lots[number].free == 0 then
      books.lots[number].is_queued = false
      table.remove(books.queue, i)
    elseif not best or is_before(books, number, best) then
      best = number
    end
  end
  return best
end

-- The lot to draw from: the first to expire of those with free money; nil when there is none.
local function next_lot(books)
  while true do
    local best = first_in_queue(books)
    if books.has_all or (best and books.frontier and not is_before(books, books.frontier, best)) then return best end
    load_lots(books)
  end
end

-- The lot that is drawn last: for money that comes back, so that it does not expire before its time.
local function last_lot(books)
  local member = redis.call('ZRANGE', books.lots_key, -1, -1)[1]
  if member then lot_of(books, tonumber(member)) end
  local last
  for _, number in ipairs(books.queue) do
    if books.lots[number].free > 0 and (not last or is_before(books, last, number)) then last = number end
  end
  return last
end

-- What is free in expired lots leaves. Every step begins with it, so that nothing is drawn from an expired lot.
local function expire(books)
  local number = next_lot(books)
  while number and books.lots[number].expires <= books.now do
    local lot = changed_lot(books, number)
    enter(books, 'expire', '', '')
    move(books, number, 'credit', 'expired', lot.free)
    lot.expired, lot.free = lot.expired + lot.free, 0
    number = next_lot(books)
  end
end

local function open_books(keys)
  local books = find_books(keys) or reject('unknown_account', 'the tenant has no account; open it first')
  expire(books)
  return books
end

-- What is owed is paid with what is free; the last thing of every step.
local function pay(books)
  local account = books.account
  while account.used > 0 do
    local number = next_lot(books)
    if not number then return end
    local lot = changed_lot(books, number)
    local amount = math.min(account.used, lot.free)
    enter(books, 'pay', '', '')
    move(books, number, 'credit', 'debt', amount)
    account.used, lot.free = account.used - amount, lot.free - amount
  end
end

-- ---------------------------------------------------------------- a call's parts: { lot, micros } each, and by_lot

local function add_part(parts, lot, micros)
  local part = parts.by_lot[lot]
  if part then
    part.micros = part.micros + micros
  else
    part = { lot = lot, micros = micros }
    parts.by_lot[lot] = part
    parts[#parts + 1] = part
  end
end

local function parts_of(stored)
  local parts = { by_lot = {} }
  if stored == '' then return parts end
  for lot, micros in stored:gmatch('(%d+):(%d+)') do add_part(parts, lot + 0, micros + 0) end
  return parts
end

local PART = form('#:#')

local function parts_text(parts)
  local words = {}
  for _, part in ipairs(parts) do
    if part.micros > 0 then words[#words + 1] = PART:format(part.lot, part.micros) end
  end
  return table.concat(words, ' ')
end

-- Holds money for a call: from lots, then from the credit limit. That there is enough was judged before.
local function hold(books, parts, micros)
  while micros > 0 do
    local number = next_lot(books)
    if not number then
      move(books, 0, 'debt', 'held', micros)
      add_part(parts, 0, micros)
      return
    end
    local lot = changed_lot(books, number)
    local amount = math.min(micros, lot.free)
    lot.free, lot.held, micros = lot.free - amount, lot.held + amount, micros - amount
    move(books, number, 'credit', 'held', amount)
    add_part(parts, number, amount)
  end
end

-- Charges a call from what it holds, the part that was taken first.
local function charge(books, parts, micros)
  for i = 1, #parts do
    local part = parts[i]
    local amount = math.min(micros, part.micros)
    if amount > 0 then
      part.micros, micros = part.micros - amount, micros - amount
      move(books, part.lot, 'held', 'revenue', amount)
      if part.lot == 0 then
        books.account.used = books.account.used + amount
      else
        local lot = changed_lot(books, part.lot)
        lot.held = lot.held - amount
      end
    end
  end
end

-- Gives back what a call holds, the part that was taken last; what belongs to an expired lot leaves.
local function give_back(books, parts, micros)
  for i = #parts, 1, -1 do
    local part = parts[i]
    local amount = math.min(micros, part.micros)
    if amount > 0 then
      part.micros, micros = part.micros - amount, micros - amount
      if part.lot == 0 then
        move(books, 0, 'held', 'debt', amount)
      else
        local lot = changed_lot(books, part.lot)
        lot.held = lot.held - amount
        local is_expired = lot.expires <= books.now
        if is_expired then lot.expired = lot.expired + amount else lot.free = lot.free + amount end
        move(books, part.lot, 'held', is_expired and 'expired' or 'credit', amount)
      end
    end
  end
end

-- ------------------------------------------------------------------------------------------- adjustments

-- The tenant gets money back: what it owes first, the rest as a lot that lasts as long as any. One of its own: a
-- top-up that is taken back is not to be mistaken for it.
local function refund(books, micros)
  local account = books.account
  local owed = math.min(micros, account.used)
  if owed > 0 then
    move(books, 0, 'adjustment', 'debt', owed)
    account.used = account.used - owed
  end
  local rest = micros - owed
  if rest > 0 then
    local last = last_lot(books)
    local number = new_lot(books, rest, last and books.lots[last].expires or NEVER)
    move(books, number, 'adjustment', 'credit', rest)
  end
end

local function owe(books, micros)
  if micros == 0 then return end
  move(books, 0, 'debt', 'adjustment', micros)
  books.account.used = books.account.used + micros
end

-- The tenant pays more: from lots, and the rest is owed.
local function demand(books, micros)
  while micros > 0 do
    local number = next_lot(books)
    if not number then return owe(books, micros) end
    local lot = changed_lot(books, number)
    local amount = math.min(micros, lot.free)
    lot.free, micros = lot.free - amount, micros - amount
    move(books, number, 'credit', 'adjustment', amount)
  end
end
