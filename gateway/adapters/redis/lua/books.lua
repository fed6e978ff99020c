-- =============================================================================== the account and its journal
--[[
Six accounts and the source of funds; each journal entry's deltas add up to 0:
  source -> credit (free money in lots) -> held (by live calls) -> revenue | expired | adjustment, and debt: what was
  drawn beyond all lots, negative. balance = credit + held + debt.

Invariants, after every step
  credits - charges + adjustments - expired = balance
  account.held = sum of held over the live calls, each >= 0
  account.rate = sum of what the answered calls cost a minute (see calls.lua)
  held <= balance + limit                  after a reserve or an extend that granted
  used > 0 only while no lot has free money that can be drawn
  the journal, added up, is the account
Corrections upwards, a lowered limit, a reversed top-up and a call registered again may leave debt; debt refuses every
new grant.
]]

-- The account's numbers. Few steps look at the others there are (`lots`, `events`, `credits`, `adjustments`, `expired`),
-- or at `recharge`: see seldom().
local FIGURES = { 'version', 'balance', 'held', 'used', 'limit', 'rate', 'entries', 'charges' }
local LOTS_FROM = #FIGURES + 6

-- The account; and its figures as they were, in the order of FIGURES, behind them from LOTS_FROM on the lots of these
-- names.
local function read_account(key, ...)
  local was = redis.call('HMGET', key, 'version', 'balance', 'held', 'used', 'limit', 'rate', 'entries', 'charges',
    'currency', 'status', 'trigger', 'armed', 'exhausted', ...)
  local currency, status, trigger, armed, exhausted = unpack(was, #FIGURES + 1, LOTS_FROM - 1)
  if not currency then return nil end
  if not was[1] then
    reject('version', 'these books were written before version 2; begin new ones in another folder or database')
  end
  for i = 1, #FIGURES do was[i] = (was[i] or 0) + 0 end
  local account = {
    version = was[1], balance = was[2], held = was[3], used = was[4], limit = was[5], rate = was[6], entries = was[7],
    charges = was[8], currency = currency, status = status, armed = armed, exhausted = exhausted,
    trigger = trigger and trigger ~= '' and trigger + 0 or nil,
  }
  if math.abs(account.version - VERSION) > 1 then
    local remedy = account.version > VERSION and '; update this gateway, to version ' .. text(account.version - 1) ..
      ' at least' or '; let a gateway of version ' .. text(account.version + 1) .. ' open them first'
    reject('version', 'these books are of version ' .. text(account.version) .. ', and this is version ' ..
      text(VERSION) .. remedy)
  end
  return account, was
end

-- KEYS of every step: account, live, journal, outbox, lots; then the call, its meta, prices and limits, or what top-ups
-- need.
local function new_books(keys, account, was)
  return {
    account = account, was = was, balance = account.balance, held = account.held, now = now_ms(),
    account_key = keys[1], live_key = keys[2], journal_key = keys[3], outbox_key = keys[4], lots_key = keys[5],
    call_key = keys[6], meta_key = keys[7], prices_key = keys[8], limits_key = keys[9],
    changed = {}, pools = {}, entries = {}, events = {}, lots = {}, queue = {}, loaded = 0,
    counters = {}, later = {}, lapsed = {}, seldom = {},
  }
end

-- A number of the account that is read when a step looks at it.
local function seldom(books, field)
  local number = books.account[field]
  if not number then
    number = redis.call('HGET', books.account_key, field) + 0
    books.account[field], books.seldom[field] = number, number
  end
  return number
end

local function tenant_of(books)
  return books.account_key:match('{(.*)}')
end

local function available(account)
  return account.balance - account.held + account.limit
end

local NO_FACTS = {}

-- A new entry of the journal; move() adds to it, a line for each lot. facts: pool, included, total, note.
local function enter(books, kind, call, step, facts)
  local entry = { kind = kind, call = call, step = step, facts = facts or NO_FACTS, lines = {}, by_lot = {},
    before = 0 }
  books.entry = entry
  books.entries[#books.entries + 1] = entry
end

local function new_line(lot)
  return { lot = lot, source = 0, credit = 0, held = 0, debt = 0, revenue = 0, expired = 0, adjustment = 0 }
end

local NOTHING = new_line('')
-- Which figure of the account is the sum of an account of the journal, and its sign there; and what is in the balance.
local SUM_OF = { held = 'held', source = 'credits', revenue = 'charges', expired = 'expired', adjustment = 'adjustments' }
local SIGN = { held = 1, source = -1, revenue = 1, expired = 1, adjustment = -1 }
local IN_BALANCE = { credit = 1, held = 1, debt = 1, source = 0, revenue = 0, expired = 0, adjustment = 0 }

-- Moves money from one account of the journal to another within one lot (0: the credit limit).
local function move(books, lot, from, to, micros)
  local account, entry = books.account, books.entry
  local line = entry.by_lot[lot]
  if not line then
    line = new_line(lot)
    entry.by_lot[lot] = line
    entry.lines[#entry.lines + 1] = line
  end
  line[from], line[to] = line[from] - micros, line[to] + micros
  account.balance = account.balance + (IN_BALANCE[to] - IN_BALANCE[from]) * micros
  local sum = SUM_OF[from]
  if sum then account[sum] = (account[sum] or seldom(books, sum)) - SIGN[from] * micros end
  sum = SUM_OF[to]
  if sum then account[sum] = (account[sum] or seldom(books, sum)) + SIGN[to] * micros end
  if to == 'expired' then books.lapsed[lot] = (books.lapsed[lot] or 0) + micros end
end

-- Words of the account; its numbers are written by themselves.
local function change(books, field, word)
  local changed = books.changed
  books.account[field] = word
  changed[#changed + 1], changed[#changed + 2] = field, word
end

-- ---------------------------------------------------------------------------------------------- the outbox

-- An event's number is a time, so that one that a fail-over lost, and that was delivered, lends its number to no other:
-- a receiver would take that for a repeat.
local function emit(books, kind, facts)
  local account = books.account
  account.events = math.max(seldom(books, 'events') + 1, books.now)
  local tenant = tenant_of(books)
  local event = { 'id', 'evt_' .. tenant .. '_' .. text(account.events), 'type', kind, 'at_ms', text(books.now),
    'tenant', tenant, 'currency', account.currency, 'balance', text(account.balance),
    'held', text(account.held), 'available', text(available(account)) }
  for _, word in ipairs(facts) do table.insert(event, word) end
  table.insert(books.events, event)
end

-- What left by expiry in this step: of each lot once, also what a call gave back too late.
local function announce_lapsed(books)
  if not next(books.lapsed) then return end
  local numbers = {}
  for number in pairs(books.lapsed) do table.insert(numbers, number) end
  table.sort(numbers)
  for _, number in ipairs(numbers) do
    emit(books, 'credit.expired', { 'amount', text(books.lapsed[number]), 'lot', text(number), 'expires_at_ms',
      text(books.lots[number].expires) })
  end
  books.lapsed = {}
end

local Recharge, Forecast = {}, nil -- filled by recharge.lua and forecast.lua

-- Judges what is available after a step; `shortage` is 'refused' or 'short' when credit did not reach for all that
-- was asked. Each event is sent once until funds come (see topup() and recharge.lua).
local function announce(books, call, shortage)
  local account, left = books.account, available(books.account)
  announce_lapsed(books)
  if account.trigger and account.armed == '1' and (shortage or left < account.trigger) then
    Recharge.fire(books, call, shortage or 'crossed')
  end
  if account.exhausted == '0' and (shortage == 'refused' or left <= 0) then
    emit(books, 'balance.exhausted', { 'trigger', account.trigger and text(account.trigger) or '',
      'reason', shortage == 'refused' and 'refused' or 'zero', 'call', call })
    change(books, 'exhausted', '1')
  end
  return #books.events > 0
end

-- In a step that by itself changes nothing of what is available.
local function announce_expiry(books)
  if #books.entries > 0 then announce(books, '') end
end

-- --------------------------------------------------------------------------------------------- the writing

local function change_figure(changed, field, number)
  if number > MAX or number < -MAX then
    reject('bad_amount', 'the account\'s ' .. field .. ' would go beyond 2^53 - 1 micro-units')
  end
  local count = #changed
  changed[count + 1], changed[count + 2] = field, number
end

-- Nothing is written before all sums are known to be good: balance + limit too, so that available() is exact.
local function change_figures(books)
  local account, was, changed = books.account, books.was, books.changed
  for i = 1, #FIGURES do
    local field = FIGURES[i]
    local number = account[field]
    if number ~= was[i] then change_figure(changed, field, number) end
  end
  for field, number in pairs(books.seldom) do
    if account[field] ~= number then change_figure(changed, field, account[field]) end
  end
  if math.abs(account.balance + account.limit) > MAX then
    reject('bad_amount', 'balance and credit limit would go beyond 2^53 - 1 micro-units together')
  end
end

local function write_line(books, entry, number, line, facts)
  books.balance = books.balance + line.credit + line.held + line.debt
  books.held = books.held + line.held
  redis.call('XADD', books.journal_key, '*', 'n', number, 'type', entry.kind, 'call', entry.call,
    'step', entry.step, 'lot', line.lot, 'source', line.source, 'credit', line.credit, 'held', line.held,
    'debt', line.debt, 'revenue', line.revenue, 'expired', line.expired, 'adjustment', line.adjustment,
    'pool', facts.pool or '', 'included', facts.included or 0, 'balance', books.balance, 'held_after', books.held,
    'total', facts.total or '', 'at_ms', books.now, 'note', facts.note or '')
end

-- Numbers the entries' lines, of which each is an entry of the stream.
local function count_lines(books)
  local count = books.account.entries
  for i = 1, #books.entries do
    local entry = books.entries[i]
    entry.before = count
    count = count + math.max(1, #entry.lines)
  end
  books.account.entries = count
end

local function write_journal(books)
  for n = 1, #books.entries do
    local entry = books.entries[n]
    write_line(books, entry, entry.before + 1, entry.lines[1] or NOTHING, entry.facts)
    for i = 2, #entry.lines do write_line(books, entry, entry.before + i, entry.lines[i], NO_FACTS) end
  end
end

local LOT_NAME, LOT_MEMBER = form('lot:#'), '%012d'
local LOT = form('# # # # #')

-- A lot is among those with free money by its expiry; as a rule it is there already, and in its place.
local function list_lot(books, number, lot)
  local place = lot.free > 0 and lot.expires or nil
  if place == lot.listed then return end
  local member = LOT_MEMBER:format(number)
  if place then
    redis.call('ZADD', books.lots_key, place == NEVER and '+inf' or place, member)
  else
    redis.call('ZREM', books.lots_key, member)
  end
end

local function write_lots(books)
  for number, lot in pairs(books.lots) do
    if lot.is_changed then
      local changed, name = books.changed, LOT_NAME:format(number)
      if lot.free == 0 and lot.held == 0 and lot.expired == 0 then
        redis.call('HDEL', books.account_key, name)
      else
        changed[#changed + 1], changed[#changed + 2] = name,
          LOT:format(lot.free, lot.held, lot.expires == NEVER and 0 or lot.expires, lot.expired, lot.notices)
      end
      list_lot(books, number, lot)
    end
  end
end

local FIELDS_AT_ONCE = 1000 -- an even number; unpack() takes some thousands

-- Everything that the step did, in one go; called once, last.
local function write(books)
  local changed = books.changed
  announce_lapsed(books) -- in a step that announces nothing else
  count_lines(books)
  change_figures(books)
  write_journal(books)
  write_lots(books)
  for name, taken in pairs(books.pools) do
    changed[#changed + 1], changed[#changed + 2] = 'pool:' .. name, taken
  end
  for _, event in ipairs(books.events) do redis.call('XADD', books.outbox_key, '*', unpack(event)) end
  for i = 1, #changed, FIELDS_AT_ONCE do
    redis.call('HSET', books.account_key, unpack(changed, i, math.min(#changed, i + FIELDS_AT_ONCE - 1)))
  end
end
