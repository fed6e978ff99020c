#!lua name=callgate_1
--[[
The books of callgate, version 1: one function a step, each of them atomic.

Rules
  * Money is a whole number of micro-units. Lua's numbers are doubles, so nothing beyond 2^53 - 1 is let in, neither
    an amount nor a sum; what is stored goes through text(), never through tostring() (10^14 would become 1e+14).
  * A step looks and judges first and writes last. reject() is only called before the first write, because what a
    function has written stays written when it fails later.
  * A step is known by its call and its name ("reserve", "extend:3", "settle:4"). The call keeps the name of its last
    step and the reply to it; a repeat gets that reply and changes nothing, an older step is `stale_step`.
  * book() is the only place where money moves. It writes the journal entry in the same breath.
  * All keys are in KEYS and carry the tenant's hash tag. TIME is the only clock.
  * A change to this file that a gateway can see changes the number in the library's name.

Invariants
  credits - charges + adjustments = balance                  after every step
  account.held = sum of held over the live calls, each >= 0   after every step
  held <= balance + limit                                     after a reserve or an extend that granted
  the journal, added up, is the account                       after every step
Only an estimate's correction upwards and a lowered limit may leave debt; debt refuses every new grant.

A call's states
  reserved -> answered -> settled                      the common life
  reserved -> in_doubt -> answered|settled|released    its validity ran out and nobody answered: held, not charged
  reserved -> released                                 a tombstone; so is the release of a call that never was
  answered -> estimated -> settled                     an estimate is charged; one settle replaces it
  refused                                              kept for a minute, so that a repeated ask hears the same
settled, released and estimated hold nothing; they leave the live set and expire when ids are forgotten.

Replies of the steps are words in one string: what happened first, then its figures. "rejected CODE SENTENCE" is a
step that should not have been sent.
]]

local MAX = 2 ^ 53 - 1
local REFUSAL_KEPT_MS = 60000

local ACCOUNT = { 'currency', 'balance', 'held', 'limit', 'credits', 'charges', 'adjustments',
                  'trigger', 'recharge', 'armed', 'exhausted' }
local CALL = { 'state', 'step', 'done', 'reply', 'granted', 'charged', 'held', 'leg', 'valid_until', 'cap' }
local STORED = { 'state', 'step', 'granted', 'charged', 'held', 'leg', 'answered_at', 'valid_until' }

-- --------------------------------------------------------------------------------------- words and numbers

local function reject(code, sentence)
  error({ code = code, sentence = sentence })
end

-- `+ 0` turns -0 into 0: HINCRBY does not read "-0".
local function text(number)
  return string.format('%.0f', number + 0)
end

local function whole(word, least)
  local number = #word <= 17 and word:match('^-?%d+$') and tonumber(word)
  if not number or number < least or number > MAX then
    reject('bad_amount', word .. ' is not a whole number from ' .. text(least) .. ' to 2^53 - 1')
  end
  return number
end

local function flag(truth)
  return truth and '1' or '0'
end

local function reply(...)
  local words = { ... }
  for i, word in ipairs(words) do
    if type(word) == 'number' then words[i] = text(word) end
  end
  return table.concat(words, ' ')
end

local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- ----------------------------------------------------------------------------------------------- the books

local function read(key, fields)
  local values = redis.call('HMGET', key, unpack(fields))
  local record = {}
  for i, field in ipairs(fields) do
    record[field] = values[i] or nil
  end
  return record
end

local function read_account(key)
  local account = read(key, ACCOUNT)
  if not account.currency then return nil end
  for _, field in ipairs({ 'balance', 'held', 'limit', 'credits', 'charges', 'adjustments' }) do
    account[field] = tonumber(account[field])
  end
  account.trigger = tonumber(account.trigger)
  return account
end

-- KEYS of every step: account, live, journal, outbox; then the call and its meta, or the top-up's id, if any.
-- The meta has a key of its own because one long value would make the call's hash thrice as large.
local function find_books(keys)
  local account = read_account(keys[1])
  return account and {
    account = account, now = now_ms(), tenant = keys[1]:match('{(.*)}'),
    account_key = keys[1], live_key = keys[2], journal_key = keys[3], outbox_key = keys[4], call_key = keys[5],
    meta_key = keys[6],
  }
end

local function open_books(keys)
  return find_books(keys) or reject('unknown_account', 'the tenant has no account; open it first')
end

local function available(account)
  return account.balance - account.held + account.limit
end

-- Nothing is written before all sums are known to be good: balance + limit too, so that available() is exact.
local function check_sums(account)
  for _, field in ipairs({ 'balance', 'held', 'credits', 'charges', 'adjustments' }) do
    if math.abs(account[field]) > MAX then
      reject('bad_amount', 'the account\'s ' .. field .. ' would go beyond 2^53 - 1 micro-units')
    end
  end
  if account.balance + account.limit > MAX then
    reject('bad_amount', 'balance and credit limit would go beyond 2^53 - 1 micro-units together')
  end
end

-- Moves money and writes the journal. `delta` has any of credit, held, charged, adjustment.
local function book(books, entry, delta)
  local account = books.account
  local credit, held = delta.credit or 0, delta.held or 0
  local charged, adjustment = delta.charged or 0, delta.adjustment or 0
  local changes = { credits = credit, held = held, charges = charged, adjustments = adjustment,
                    balance = credit - charged + adjustment }
  for field, change in pairs(changes) do
    account[field] = account[field] + change
  end
  check_sums(account)
  for field, change in pairs(changes) do
    if change ~= 0 then redis.call('HINCRBY', books.account_key, field, text(change)) end
  end
  redis.call('XADD', books.journal_key, '*', 'entry', entry.type, 'call', entry.call, 'step', entry.step,
    'credit', text(credit), 'held', text(held), 'charged', text(charged), 'adjustment', text(adjustment),
    'balance', text(account.balance), 'held_after', text(account.held), 'at_ms', text(books.now),
    'note', entry.note or '')
end

-- ---------------------------------------------------------------------------------------------- the outbox

local function emit(books, kind, reason, call)
  local account = books.account
  local number = redis.call('HINCRBY', books.account_key, 'events', 1)
  redis.call('XADD', books.outbox_key, '*', 'id', 'evt_' .. books.tenant .. '_' .. text(number), 'type', kind,
    'at_ms', text(books.now), 'tenant', books.tenant, 'amount', account.recharge or '', 'currency', account.currency,
    'balance', text(account.balance), 'held', text(account.held), 'available', text(available(account)),
    'trigger', account.trigger and text(account.trigger) or '', 'reason', reason, 'call', call)
end

-- Judges what is available after a step; `shortage` is 'refused' or 'short' when credit did not reach for all that
-- was asked. True when the outbox got something. Each event is sent once until a top-up (see topup()).
local function announce(books, call, shortage)
  local account, left = books.account, available(books.account)
  local has_outbox = false
  if account.trigger and account.armed == '1' and (shortage or left < account.trigger) then
    emit(books, 'recharge.requested', shortage or 'crossed', call)
    redis.call('HSET', books.account_key, 'armed', '0')
    has_outbox = true
  end
  if account.exhausted == '0' and (shortage == 'refused' or left <= 0) then
    emit(books, 'balance.exhausted', shortage == 'refused' and 'refused' or 'zero', call)
    redis.call('HSET', books.account_key, 'exhausted', '1')
    has_outbox = true
  end
  return has_outbox
end

-- ----------------------------------------------------------------------------------------------- the calls

local function read_call(books)
  local call = read(books.call_key, CALL)
  for _, field in ipairs({ 'step', 'granted', 'charged', 'held', 'valid_until', 'cap' }) do
    call[field] = tonumber(call[field] or 0)
  end
  return call
end

local function known_call(books)
  local call = read_call(books)
  if not call.state or call.state == 'refused' then
    reject('unknown_call', 'nothing was reserved for this call')
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

-- A closed call shrinks to what a repeat, or the correction of an estimate, needs.
local function close_call(books, id, kept_ms, ...)
  redis.call('ZREM', books.live_key, id)
  redis.call('DEL', books.call_key, books.meta_key)
  redis.call('HSET', books.call_key, ...)
  redis.call('PEXPIRE', books.call_key, text(kept_ms))
end

-- The last affordable rung of the ladder in args[first..]: fee, then pairs of seconds and price without the fee.
-- Returns its seconds, its price with the fee, and whether the ladder went on. `paid` is what the call has already.
local function best_rung(args, first, paid, left)
  local fee = whole(args[first], 0)
  for i = #args - 1, first + 1, -2 do
    local seconds, price = whole(args[i], 1), whole(args[i + 1], 0) + fee
    if price > MAX then reject('bad_amount', 'a rung with its fee costs more than 2^53 - 1 micro-units') end
    if price - paid <= left then return seconds, price, i < #args - 1 end
  end
end

-- ----------------------------------------------------------------------------------------------- the steps

local function balance_reply(keys)
  local account = open_books(keys).account
  return reply('balance', account.currency, account.balance, account.held, account.limit, account.credits,
    account.charges, account.adjustments, redis.call('ZCARD', keys[2]))
end

-- currency, credit limit, trigger or '', recharge amount or ''
local function open(keys, args)
  local currency, limit = args[1], whole(args[2], 0)
  local trigger = args[3] ~= '' and text(whole(args[3], 0)) or ''
  local recharge = args[4] ~= '' and text(whole(args[4], 1)) or ''
  local terms = reply(limit, trigger, recharge)
  local account = read_account(keys[1])
  if not account then
    redis.call('HSET', keys[1], 'currency', currency, 'balance', 0, 'held', 0, 'limit', text(limit), 'credits', 0,
      'charges', 0, 'adjustments', 0, 'trigger', trigger, 'recharge', recharge, 'armed', 1, 'exhausted', 0,
      'terms', terms)
    book(open_books(keys), { type = 'open', call = '', step = '', note = terms }, {})
    return balance_reply(keys)
  end
  if account.currency ~= currency then
    reject('wrong_currency', 'the account is kept in ' .. account.currency .. ', not in ' .. currency)
  end
  if redis.call('HGET', keys[1], 'terms') ~= terms then
    account.limit = limit
    check_sums(account)
    redis.call('HSET', keys[1], 'limit', text(limit), 'trigger', trigger, 'recharge', recharge, 'terms', terms)
    local books = open_books(keys)
    book(books, { type = 'terms', call = '', step = '', note = terms }, {})
    announce(books, '')
  end
  return balance_reply(keys)
end

-- id, amount, currency, source, ids kept in ms
local function topup(keys, args)
  local books, id, amount, currency = open_books(keys), args[1], whole(args[2], 1), args[3]
  local account, kept_ms = books.account, whole(args[5], 1)
  if account.currency ~= currency then
    reject('wrong_currency', 'the account is kept in ' .. account.currency .. ', not in ' .. currency)
  end
  local booked = redis.call('GET', books.call_key)
  if booked then
    if booked ~= text(amount) then
      reject('id_reused', 'this id was booked before with ' .. booked .. ' micro-units; use a new id')
    end
    return reply('booked', account.balance, flag(true), flag(false))
  end
  book(books, { type = 'topup', call = id, step = '', note = args[4] }, { credit = amount })
  redis.call('SET', books.call_key, text(amount), 'PX', text(kept_ms))
  account.armed = '1'
  account.exhausted = available(account) > 0 and '0' or account.exhausted
  redis.call('HSET', books.account_key, 'armed', account.armed, 'exhausted', account.exhausted)
  local has_outbox = announce(books, '')
  -- pcall: it only wakes calls in their final grant, and the money above is booked whether or not anyone may hear it.
  redis.pcall('PUBLISH', 'callgate:topups', books.tenant)
  return reply('booked', account.balance, flag(false), flag(has_outbox))
end

-- call, validity in ms, meta, ladder
local function reserve(keys, args)
  local books, id, validity_ms = find_books(keys), args[1], whole(args[2], 1)
  if not books then return reply('refused', 'unknown_tenant', flag(false)) end
  local call = read_call(books)
  if call.done == 'reserve' then return call.reply end
  if is_closed(call) then return reply('refused', 'bad_ask', flag(false)) end
  if call.state then must_be_newer(call, 0) end

  local seconds, price, is_short = best_rung(args, 4, 0, available(books.account))
  if not seconds then
    local words = reply('refused', 'no_credit', flag(announce(books, id, 'refused')))
    redis.call('HSET', books.call_key, 'state', 'refused', 'done', 'reserve', 'reply', words)
    redis.call('PEXPIRE', books.call_key, REFUSAL_KEPT_MS)
    return words
  end
  book(books, { type = 'reserve', call = id, step = '0' }, { held = price })
  local has_outbox = announce(books, id, is_short and 'short' or nil)
  local words = reply('granted', seconds, price, available(books.account), flag(is_short), flag(has_outbox))
  local valid_until = text(books.now + validity_ms)
  redis.call('HSET', books.call_key, 'state', 'reserved', 'step', 0, 'done', 'reserve', 'reply', words,
    'granted', text(seconds), 'charged', 0, 'held', text(price), 'leg', '', 'answered_at', 0,
    'valid_until', valid_until)
  redis.call('SET', books.meta_key, args[3])
  redis.call('ZADD', books.live_key, valid_until, id)
  return words
end

-- call, leg, answered at (PBX ms), validity in ms
local function answer(keys, args)
  local books, id, leg = open_books(keys), args[1], args[2]
  local answered_at, validity_ms = whole(args[3], 1), whole(args[4], 1)
  local call = known_call(books)
  if call.state == 'answered' and call.leg == leg then return reply('done') end
  if call.state ~= 'reserved' and call.state ~= 'in_doubt' then
    reject('bad_state', 'the call is ' .. call.state .. '; one reservation pays for one answered leg')
  end
  book(books, { type = 'answer', call = id, step = '0', note = leg }, {})
  local valid_until = text(books.now + validity_ms)
  redis.call('HSET', books.call_key, 'state', 'answered', 'leg', leg, 'answered_at', text(answered_at),
    'valid_until', valid_until)
  redis.call('ZADD', books.live_key, valid_until, id)
  return reply('done')
end

-- call, step, committed in all, validity in ms, ladder
local function extend(keys, args)
  local books, id, step = open_books(keys), args[1], whole(args[2], 1)
  local committed, validity_ms = whole(args[3], 0), whole(args[4], 1)
  local call, name = known_call(books), 'extend:' .. text(step)
  if call.done == name then return call.reply end
  must_be_newer(call, step)
  if call.state ~= 'answered' then
    reject('bad_state', 'the call is ' .. call.state .. '; only an answered call can be extended')
  end
  local paid = call.charged + call.held
  if committed > paid then reject('exceeds_grant', 'only ' .. text(paid) .. ' micro-units were granted') end
  if committed < call.charged then
    reject('bad_amount', text(call.charged) .. ' micro-units are charged already; a commit does not give back')
  end
  local seconds, price, is_short = best_rung(args, 5, paid, available(books.account))
  if seconds and (seconds <= call.granted or price < committed) then
    reject('bad_amount', 'the ladder of an extend must lie beyond what was granted and committed')
  end

  local held = (price or paid) - committed
  book(books, { type = 'extend', call = id, step = text(step) },
    { charged = committed - call.charged, held = held - call.held })
  local words, has_outbox
  if seconds then
    has_outbox = announce(books, id, is_short and 'short' or nil)
    words = reply('granted', seconds, held, available(books.account), flag(is_short), flag(has_outbox))
    call.granted, call.valid_until = seconds, books.now + validity_ms
  else
    has_outbox = announce(books, id, 'refused')
    words = reply('refused', 'no_credit', flag(has_outbox))
  end
  redis.call('HSET', books.call_key, 'step', text(step), 'done', name, 'reply', words, 'granted', text(call.granted),
    'charged', text(committed), 'held', text(held), 'valid_until', text(call.valid_until))
  redis.call('ZADD', books.live_key, text(call.valid_until), id)
  return words
end

local function may_settle(call, step, is_estimate)
  if call.state == 'estimated' and not is_estimate then return end
  must_be_newer(call, step)
  if call.state == 'answered' or (call.state == 'in_doubt' and not is_estimate) then return end
  reject('bad_state', 'the call is ' .. call.state .. '; only what was answered is charged')
end

-- What a settle moves: from what is held, or, for an estimated call, by an adjustment.
local function settlement(call, charge)
  if charge > call.charged + call.held + call.cap then
    reject('exceeds_grant', 'only ' .. text(call.charged + call.held + call.cap) .. ' micro-units were granted')
  end
  if call.state == 'estimated' then return 'correct', { adjustment = call.charged - charge } end
  -- The last extend committed up to the gateway's now; the leg had ended just before, which was not heard yet.
  if charge < call.charged then return 'settle', { adjustment = call.charged - charge, held = -call.held } end
  return 'settle', { charged = charge - call.charged, held = -call.held }
end

-- call, step, charge in all, seconds, is it an estimate (0 or 1), ids kept in ms
local function settle(keys, args)
  local books, id, step = open_books(keys), args[1], whole(args[2], 1)
  local charge, seconds, is_estimate, kept_ms = whole(args[3], 0), whole(args[4], 0), args[5] == '1', whole(args[6], 1)
  local call, name = known_call(books), (is_estimate and 'estimate:' or 'settle:') .. text(step)
  if call.done == name or (is_estimate and call.state == 'estimated') then return call.reply end
  may_settle(call, step, is_estimate)
  local kind, delta = settlement(call, charge)

  book(books, { type = is_estimate and 'estimate' or kind, call = id, step = text(step), note = args[4] }, delta)
  local has_outbox = announce(books, id)
  local words = reply('settled', charge, seconds, books.account.balance, flag(is_estimate), flag(has_outbox))
  -- cap: what a correction may still charge beyond the estimate, all of it granted before.
  close_call(books, id, kept_ms, 'state', is_estimate and 'estimated' or 'settled', 'step', text(step), 'done', name,
    'reply', words, 'charged', text(charge), 'cap', text(call.charged + call.held + call.cap - charge))
  return words
end

-- call, ids kept in ms
local function release(keys, args)
  local books, id, kept_ms = open_books(keys), args[1], whole(args[2], 1)
  local call = read_call(books)
  if call.done == 'release' then return call.reply end
  if call.state == 'answered' or is_closed(call) then
    reject('bad_state', 'the call is ' .. call.state .. '; settle it')
  end
  book(books, { type = 'release', call = id, step = text(call.step) }, { held = -call.held })
  local words = reply('settled', 0, 0, books.account.balance, flag(false), flag(announce(books, id)))
  close_call(books, id, kept_ms, 'state', 'released', 'step', text(call.step), 'done', 'release', 'reply', words)
  return words
end

-- call
local function doubt(keys, args)
  local books, id = open_books(keys), args[1]
  local call = read_call(books)
  -- Looked at again here: an answer may have come since the caller saw it expired.
  if call.state == 'reserved' and call.valid_until <= books.now then
    book(books, { type = 'doubt', call = id, step = text(call.step) }, {})
    redis.call('HSET', books.call_key, 'state', 'in_doubt')
  end
  return reply('done')
end

-- KEYS: calls, each followed by its meta. A list each: STORED and the meta, or nothing where the call is closed.
local function live(keys)
  local calls = {}
  for i = 1, #keys, 2 do
    local values, meta = redis.call('HMGET', keys[i], unpack(STORED)), redis.call('GET', keys[i + 1])
    table.insert(values, meta)
    table.insert(calls, meta and values or {})
  end
  return calls
end

-- KEYS: live. The ids of those whose validity has run out, the longest gone first.
local function expired(keys)
  return redis.call('ZRANGEBYSCORE', keys[1], '-inf', text(now_ms()))
end

-- -------------------------------------------------------------------------------------------- registration

-- A rejection is an answer; anything else that was raised is a fault and goes on as an error reply.
local function register(name, step, flags)
  redis.register_function({
    function_name = 'callgate_1_' .. name,
    flags = flags,
    callback = function(keys, args)
      local ok, result = pcall(step, keys, args)
      if not ok and type(result) == 'table' and result.code then
        return reply('rejected', result.code, result.sentence)
      end
      if not ok then error(result) end
      return result
    end,
  })
end

-- At maxmemory nothing new is granted, but all that was granted can be answered, charged and freed.
register('reserve', reserve, {})
register('extend', extend, {})
register('open', open, { 'allow-oom' })
register('topup', topup, { 'allow-oom' })
register('answer', answer, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('release', release, { 'allow-oom' })
register('doubt', doubt, { 'allow-oom' })
register('balance', balance_reply, { 'no-writes' })
register('live', live, { 'no-writes' })
register('expired', expired, { 'no-writes' })
