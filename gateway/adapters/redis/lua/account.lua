-- =========================================================================================== the account

local NOTICE_DAYS = { 30, 7 }
local DAY_MS = 86400000

local function balance_of(books, live_key)
  local account = books.account
  return reply('balance', account.currency, account.status, account.balance, account.held, account.limit,
    seldom(books, 'credits'), account.charges, seldom(books, 'adjustments'), seldom(books, 'expired'),
    redis.call('ZCARD', live_key), account.entries)
end

local function balance(keys)
  local books = open_books(keys)
  announce_expiry(books)
  write(books)
  return balance_of(books, keys[2])
end

-- currency, credit limit, rule of recharges (see recharge.lua) or ''. A rule that a person set by hand stays until that
-- of the config is another: a restart is not to undo it, and who edits the file means it.
local function open(keys, args)
  local currency, limit, rule = args[1], whole(args[2], 0), args[3]
  local terms = reply(limit, rule)
  local is_new = redis.call('EXISTS', keys[1]) == 0
  if is_new then
    redis.call('HSET', keys[1], 'version', text(VERSION), 'currency', currency, 'status', 'open', 'balance', 0,
      'held', 0, 'limit', 0, 'credits', 0, 'charges', 0, 'adjustments', 0, 'expired', 0, 'used', 0, 'entries', 0,
      'lots', 0, 'events', 0, 'rate', 0, 'trigger', '', 'recharge', '', 'armed', 1, 'exhausted', 0, 'terms', '')
  end
  local books = open_books(keys)
  local account = books.account
  if account.currency ~= currency then
    reject('wrong_currency', 'the account is kept in ' .. account.currency .. ', not in ' .. currency)
  end
  account.version = math.max(account.version, VERSION)
  local before = redis.call('HGET', keys[1], 'terms') or ''
  if is_new or before ~= terms then
    account.limit = limit
    if is_new or before:match('^%d+ (.*)$') ~= rule then Recharge.take_rule(books, rule, false) end
    change(books, 'terms', terms)
    enter(books, is_new and 'open' or 'terms', '', '', { note = terms })
    if not is_new then announce(books, '') end
  else
    announce_expiry(books)
  end
  write(books)
  return balance_of(books, keys[2])
end

local function set_status(keys, status, kind)
  local books = open_books(keys)
  local is_new = books.account.status ~= status
  if is_new and status == 'closed' and redis.call('ZCARD', books.live_key) > 0 then
    reject('bad_state', 'calls of this account are live; wait until they have ended')
  end
  announce_expiry(books)
  if is_new then
    enter(books, kind, '', '')
    change(books, 'status', status)
  end
  write(books)
  return balance_of(books, keys[2])
end

local function close(keys)
  return set_status(keys, 'closed', 'close')
end

local function reopen(keys)
  return set_status(keys, 'open', 'reopen')
end

-- ---------------------------------------------------------------------------------------------- top-ups
-- KEYS beyond a step's five: topups (hash: id -> "AMOUNT LOT IS_REVERSED"), ids (sorted by time), old (marks of ids
-- that were forgotten: 16 digits of their SHA-1, kept for ever, so that a repeat is never booked again).

local function mark_of(id)
  return redis.sha1hex(id):sub(1, 16)
end

local function known_topup(keys, id)
  local booked = redis.call('HGET', keys[6], id)
  if booked then
    local amount, lot, is_reversed = booked:match('^(%d+) (%d+) (%d)$')
    return { amount = tonumber(amount), lot = tonumber(lot), is_reversed = is_reversed == '1' }
  end
  if redis.call('SISMEMBER', keys[8], mark_of(id)) == 1 then
    reject('too_old', 'this id was booked longer ago than ids are kept; use a new id')
  end
end

local function booked_reply(books, is_repeat)
  return reply('booked', books.account.balance, flag(is_repeat), flag(#books.events > 0))
end

-- id, amount, currency, source, expires at (ledger ms; 0: never)
local function topup(keys, args)
  local books, id, amount, currency = open_books(keys), args[1], whole(args[2], 1), args[3]
  local account, expires = books.account, whole(args[5], 0)
  if account.currency ~= currency then
    reject('wrong_currency', 'the account is kept in ' .. account.currency .. ', not in ' .. currency)
  end
  local known = known_topup(keys, id)
  if not known and id:sub(1, 4) == 'rch_' then
    reject('bad_id', 'ids that begin with rch_ are those of recharges; answer the recharge, or use another id')
  end
  if known and known.amount ~= amount then
    reject('id_reused', 'this id was booked before with ' .. text(known.amount) .. ' micro-units; use a new id')
  end
  if known and known.lot == 0 then
    reject('bad_id', 'this is the id of a recharge that was not paid; answer the recharge, or use another id')
  end
  if known then return booked_reply(books, true) end
  if account.status == 'closed' then reject('account_closed', 'the account is closed; reopen it first') end
  if expires > 0 and expires <= books.now then reject('bad_amount', 'these funds would have expired already') end

  enter(books, 'topup', id, '', { note = args[4] })
  local number = new_lot(books, amount, expires == 0 and NEVER or expires)
  move(books, number, 'source', 'credit', amount)
  pay(books)
  Recharge.lifted(books)
  if available(account) > 0 then change(books, 'exhausted', '0') end
  announce(books, '')
  local words = booked_reply(books, false)
  write(books)
  Recharge.write_unpaid(books, keys)
  redis.call('HSET', keys[6], id, reply(amount, number, 0))
  redis.call('ZADD', keys[7], books.now, id)
  -- pcall: it only wakes calls in their final grant, and the money is booked whether or not anyone may hear it.
  redis.pcall('PUBLISH', 'callgate:topups', tenant_of(books))
  return words
end

-- id of a top-up, reason. A chargeback: what has expired of the lot left the account before, and is not taken twice.
local function reverse(keys, args)
  local books, id = open_books(keys), args[1]
  local known = known_topup(keys, id) or reject('unknown_topup', 'no top-up was booked with this id')
  if known.lot == 0 then reject('unknown_topup', 'this recharge was not paid: there is nothing to take back') end
  if known.is_reversed then return booked_reply(books, true) end
  local lot = changed_lot(books, known.lot)
  local amount = math.max(0, known.amount - lot.expired)
  announce_lapsed(books) -- it tells when the lot expired
  lot.expires = NEVER -- what live calls hold of it comes back to pay what is owed, not to expire
  local free = math.min(amount, lot.free)
  enter(books, 'reverse', id, '', { note = args[2] })
  if free > 0 then
    move(books, known.lot, 'credit', 'adjustment', free)
    lot.free = lot.free - free
  end
  owe(books, amount - free)
  pay(books)
  announce(books, '')
  local words = booked_reply(books, false)
  write(books)
  redis.call('HSET', keys[6], id, reply(known.amount, known.lot, 1))
  return words
end

-- --------------------------------------------------------------------------------------------- upkeep

local function notices_due(lot, now)
  local due = 0
  for i, days in ipairs(NOTICE_DAYS) do
    if lot.expires - now <= days * DAY_MS then due = i end
  end
  return due
end

local function notify_expiry(books)
  local soon = text(books.now + NOTICE_DAYS[1] * DAY_MS)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', books.lots_key, '-inf', soon)) do
    local number = tonumber(member)
    local due = notices_due(lot_of(books, number), books.now)
    if books.lots[number].free > 0 and due > books.lots[number].notices then
      local lot = changed_lot(books, number)
      lot.notices = due
      emit(books, 'credit.expiring', { 'amount', text(lot.free), 'lot', text(number), 'expires_at_ms', text(lot.expires),
        'days', text(NOTICE_DAYS[due]) })
    end
  end
end

local PERIOD_KEPT_MS = 8 * DAY_MS -- a call that gives back may last a week

-- Counters of periods that are over, pauses that have ended, and numbers that were dialled long ago. A few of many.
local function sweep_limits(books, key)
  local found = redis.call('HSCAN', key, redis.call('HGET', key, 'cursor') or '0', 'COUNT', 100)
  for i = 1, #found[2], 2 do
    local name, value = found[2][i], found[2][i + 1]
    local kind = name:match('^%a+')
    local ends = kind == 'used' and tonumber(value:match('^%d+ (%d+)')) + PERIOD_KEPT_MS or
      kind == 'pause' and tonumber(value:match('^(%d+)')) or
      kind == 'near' and tonumber(value:match('@(%d+)$')) + DAY_MS
    if ends and ends > 0 and ends < books.now then redis.call('HDEL', key, name) end
  end
  if found[1] == '0' then redis.call('HDEL', key, 'cursor') else redis.call('HSET', key, 'cursor', found[1]) end
end

-- ids kept in ms. What is due by the clock alone: expiry and its notices, recharges that nobody answered or that may be
-- tried again, forecasts, limits that are over, and ids that are forgotten but for a mark. KEYS[9]: limits; KEYS[10]: hours.
local function tend(keys, args)
  local books, kept_ms = open_books(keys), whole(args[1], 1)
  notify_expiry(books)
  announce_expiry(books)
  Forecast.turn(books, keys[10])
  Recharge.tend(books)
  write(books)
  Recharge.write_unpaid(books, keys)
  sweep_limits(books, keys[9])
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', keys[7], '-inf', text(books.now - kept_ms), 'LIMIT', 0, 100)) do
    redis.call('SADD', keys[8], mark_of(id))
    redis.call('HDEL', keys[6], id)
    redis.call('ZREM', keys[7], id)
  end
  return reply('tended', flag(#books.events > 0))
end

-- ----------------------------------------------------------------------------------------------- by hand

-- call, reason, meta, curbs: an ask that the gateway refused by itself is noted, and counted. KEYS as for reserve.
local function refuse(keys, args)
  local books = open_asking(keys) or reject('unknown_account', 'the tenant has no account; open it first')
  note_refusal(books, read_curbs(args, 4, true), args[1], refusal(args[2]), args[3])
  write(books)
  write_limits(books)
  return reply('noted', flag(#books.events > 0))
end

-- target, for how many ms (0: until it is lifted), why. KEYS[9]: limits. Told as a guard's is, and as rarely: a person
-- who says it again, or after a guard, is no news.
local function restrict(keys, args)
  local books = find_books(keys) or reject('unknown_account', 'the tenant has no account; open it first')
  local wanted = { guard = 'by_hand', target = args[1], pause = whole(args[2], 0) }
  local is_news = not is_paused_as_long(books, wanted)
  local ends = pause(books, wanted.target, wanted.pause, wanted.guard, args[3])
  if is_news then
    emit(books, 'guard.tripped', { 'guard', wanted.guard, 'target', wanted.target, 'paused_until_ms', text(ends),
      'reason', args[3] })
  end
  write(books)
  write_limits(books)
  return reply('done')
end

-- n, entry id: the journal up to there is on disk elsewhere, and leaves.
local function archived(keys, args)
  if not read_account(keys[1]) then reject('unknown_account', 'the tenant has no account; open it first') end
  local ms, number = args[2]:match('^(%d+)-(%d+)$')
  if not ms then reject('bad_state', args[2] .. ' is no id of a journal\'s entry') end
  redis.call('HSET', keys[1], 'archived', whole(args[1], 0))
  redis.call('XTRIM', keys[3], 'MINID', ms .. '-' .. text(tonumber(number) + 1))
  return reply('done')
end

-- --------------------------------------------------------------------------------------------- reading

-- KEYS: prices; calls, each followed by its meta. A list each: STORED, with the whole meta in the place of the price's
-- id, or nothing where the call is closed.
local function live(keys)
  local calls = {}
  for i = 2, #keys, 2 do
    local values, _, _, meta = redis.call('HMGET', keys[i], unpack(STORED)), read_beside(keys[i + 1])
    local price = values[#STORED] or ''
    values[#STORED] = meta and price ~= '' and meta .. (redis.call('HGET', keys[1], price) or '') or meta
    table.insert(calls, meta and values or {})
  end
  return calls
end

-- KEYS: live. The ids of those whose validity has run out, the longest gone first.
local function expired(keys)
  return redis.call('ZRANGEBYSCORE', keys[1], '-inf', text(now_ms()))
end
