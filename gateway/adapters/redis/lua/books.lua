-- =============================================================================== the account and its journal
--[[
Six accounts and the source of funds; each journal entry's deltas add up to 0:
  source -> credit (free money in lots) -> held (by live calls) -> revenue | expired | adjustment, and debt: what was
  drawn beyond all lots, negative. balance = credit + held + debt.

Invariants, after every step
  credits - charges + adjustments - expired = balance
  account.held = sum of held over the live calls, each >= 0
  held <= balance + limit                  after a reserve or an extend that granted
  used > 0 only while no lot has free money that can be drawn
  the journal, added up, is the account
Corrections upwards, a lowered limit, a reversed top-up and a call registered again may leave debt; debt refuses every
new grant.
]]

local SUMS = { 'balance', 'held', 'credits', 'charges', 'adjustments', 'expired', 'used' }
local ACCOUNT = { 'version', 'currency', 'status', 'balance', 'held', 'credits', 'charges', 'adjustments', 'expired',
                  'used', 'limit', 'entries', 'lots', 'events', 'trigger', 'recharge', 'armed', 'exhausted' }
local COUNTS = { 'version', 'limit', 'entries', 'lots', 'events' }

local function read_account(key)
  local account = read(key, ACCOUNT)
  if not account.currency then return nil end
  if not account.version then
    reject('version', 'these books were written before version 2; begin new ones in another folder or database')
  end
  for _, field in ipairs(SUMS) do account[field] = tonumber(account[field]) end
  for _, field in ipairs(COUNTS) do account[field] = tonumber(account[field]) end
  account.trigger = tonumber(account.trigger)
  if math.abs(account.version - VERSION) > 1 then
    local remedy = account.version > VERSION and '; update this gateway, to version ' .. text(account.version - 1) ..
      ' at least' or '; let a gateway of version ' .. text(account.version + 1) .. ' open them first'
    reject('version', 'these books are of version ' .. text(account.version) .. ', and this is version ' ..
      text(VERSION) .. remedy)
  end
  return account
end

-- KEYS of every step: account, live, journal, outbox, lots; then the call, its meta, prices and limits, or what top-ups
-- need.
local function find_books(keys)
  local account = read_account(keys[1])
  if not account then return nil end
  local before = {}
  for _, field in ipairs(SUMS) do before[field] = account[field] end
  for _, field in ipairs(COUNTS) do before[field] = account[field] end
  return {
    account = account, before = before, now = now_ms(),
    account_key = keys[1], live_key = keys[2], journal_key = keys[3], outbox_key = keys[4], lots_key = keys[5],
    call_key = keys[6], meta_key = keys[7], prices_key = keys[8], limits_key = keys[9],
    changed = {}, pools = {}, entries = {}, events = {}, lots = {}, queue = {}, loaded = 0,
    counters = {}, later = {}, lapsed = {},
  }
end

local function tenant_of(books)
  return books.account_key:match('{(.*)}')
end

local function available(account)
  return account.balance - account.held + account.limit
end

-- A new entry of the journal; move() adds to it, a line for each lot. facts: pool, included, total, note.
local function enter(books, kind, call, step, facts)
  books.entry = { kind = kind, call = call, step = step, facts = facts or {}, lines = {}, by_lot = {} }
  table.insert(books.entries, books.entry)
end

local NOTHING = { source = 0, credit = 0, held = 0, debt = 0, revenue = 0, expired = 0, adjustment = 0 }

-- Moves money within one lot (0: the credit limit): `deltas` add up to 0.
local function move(books, lot, deltas)
  local account, line = books.account, books.entry.by_lot[lot]
  if not line then
    line = { lot = lot }
    for name in pairs(NOTHING) do line[name] = 0 end
    books.entry.by_lot[lot] = line
    table.insert(books.entry.lines, line)
  end
  for name, delta in pairs(deltas) do line[name] = line[name] + delta end
  account.balance = account.balance + (deltas.credit or 0) + (deltas.held or 0) + (deltas.debt or 0)
  account.held = account.held + (deltas.held or 0)
  account.credits = account.credits - (deltas.source or 0)
  account.charges = account.charges + (deltas.revenue or 0)
  account.expired = account.expired + (deltas.expired or 0)
  account.adjustments = account.adjustments - (deltas.adjustment or 0)
  if deltas.expired then books.lapsed[lot] = (books.lapsed[lot] or 0) + deltas.expired end
end

-- Words of the account; its numbers are written by themselves.
local function change(books, field, word)
  books.account[field] = word
  table.insert(books.changed, field)
  table.insert(books.changed, word)
end

-- ---------------------------------------------------------------------------------------------- the outbox

-- An event's number is a time, so that one that a fail-over lost, and that was delivered, lends its number to no other:
-- a receiver would take that for a repeat.
local function emit(books, kind, facts)
  local account = books.account
  account.events = math.max(account.events + 1, books.now)
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

local Recharge = {} -- filled by recharge.lua

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

-- Nothing is written before all sums are known to be good: balance + limit too, so that available() is exact.
local function check_sums(account)
  for _, field in ipairs(SUMS) do
    if math.abs(account[field]) > MAX then
      reject('bad_amount', 'the account\'s ' .. field .. ' would go beyond 2^53 - 1 micro-units')
    end
  end
  if math.abs(account.balance + account.limit) > MAX then
    reject('bad_amount', 'balance and credit limit would go beyond 2^53 - 1 micro-units together')
  end
end

local function write_line(books, entry, line, facts)
  local account = books.account
  account.entries = account.entries + 1
  books.balance = (books.balance or books.before.balance) + line.credit + line.held + line.debt
  books.held = (books.held or books.before.held) + line.held
  redis.call('XADD', books.journal_key, '*', 'n', account.entries, 'type', entry.kind, 'call', entry.call,
    'step', entry.step, 'lot', line.lot or '', 'source', line.source, 'credit', line.credit, 'held', line.held,
    'debt', line.debt, 'revenue', line.revenue, 'expired', line.expired, 'adjustment', line.adjustment,
    'pool', facts.pool or '', 'included', facts.included or 0, 'balance', books.balance, 'held_after', books.held,
    'total', facts.total or '', 'at_ms', books.now, 'note', facts.note or '')
end

local function write_journal(books)
  for _, entry in ipairs(books.entries) do
    for i, line in ipairs(entry.lines) do
      write_line(books, entry, line, i == 1 and entry.facts or {})
    end
    if #entry.lines == 0 then write_line(books, entry, NOTHING, entry.facts) end
  end
end

local function write_lots(books)
  for number, lot in pairs(books.lots) do
    if lot.is_changed then
      local name, member = 'lot:' .. text(number), string.format('%012d', number)
      if lot.free == 0 and lot.held == 0 and lot.expired == 0 then
        redis.call('HDEL', books.account_key, name)
      else
        redis.call('HSET', books.account_key, name, reply(lot.free, lot.held, lot.expires == NEVER and 0 or lot.expires,
          lot.expired, lot.notices))
      end
      if lot.free > 0 then
        redis.call('ZADD', books.lots_key, lot.expires == NEVER and '+inf' or lot.expires, member)
      else
        redis.call('ZREM', books.lots_key, member)
      end
    end
  end
end

-- Everything that the step did, in one go; called once, last.
local function write(books)
  local account = books.account
  announce_lapsed(books) -- in a step that announces nothing else
  check_sums(account)
  write_journal(books)
  write_lots(books)
  for name, taken in pairs(books.pools) do
    redis.call('HSET', books.account_key, 'pool:' .. name, taken)
  end
  for _, event in ipairs(books.events) do redis.call('XADD', books.outbox_key, '*', unpack(event)) end
  local fields = books.changed
  for field, value in pairs(books.before) do
    if account[field] ~= value then
      table.insert(fields, field)
      table.insert(fields, account[field])
    end
  end
  if #fields > 0 then redis.call('HSET', books.account_key, unpack(fields)) end
end
