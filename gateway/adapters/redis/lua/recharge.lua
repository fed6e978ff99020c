-- ============================================================================================== recharges
--[[
A tenant has one recharge under way at the most. Its states, and all that can happen, are the table TRANSITIONS of
gateway/core/recharge.py; the README has it too. Fields of the account:

  trigger   below it (of what is available) a recharge is asked for; '' none
  armed     may a crossing ask? The one flag that each step looks at
  recharge  the rule: "MODE AMOUNT MOST MOST_MICROS RETRY_MS GIVE_UP TIMEOUT_MS FORECAST_SECONDS" (MOST_MICROS 0: no
            bound; FORECAST_SECONDS 0: none is looked at); '' none
  by_hand   1: the rule is a person's, and stays until the config's own changes
  refill    "STATE NUMBER AMOUNT SINCE UNTIL FAILURES WHY": the last recharge. UNTIL (ms): the time-out, or when the
            quiet ends; 0: never, a person must act
  paid      "AT:AMOUNT ..." of the last 24 hours
  asked     the number of the recharge that a payment system was asked for last

A recharge that succeeds is a top-up whose id is the recharge's own: it is booked once, and its id is kept as long as
any. One that ended otherwise is among the top-ups too, with lot 0: where its payment system says later that it was paid,
that is booked.
]]

Recharge.RULE = '^(%a[%a_]*) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$'
Recharge.MODES = { none = true, fixed = true, level = true, trigger_plus = true }
Recharge.REFILL = '^(%a+) (%d+) (%d+) (%d+) (%d+) (%d+) ?(.*)$'

-- "MODE TRIGGER AMOUNT ..." as the gateway sends it, or '': checked, the trigger apart.
function Recharge.checked(words)
  if words == '' then return '', '' end
  local mode, trigger, rest = words:match('^(%a[%a_]*) (%d+) (.*)$')
  local rule = mode and mode .. ' ' .. rest
  local is_rule = rule and rule:match(Recharge.RULE) and Recharge.MODES[mode]
  if not is_rule then reject('bad_amount', 'this is no rule of recharges') end
  for number in words:gmatch('%d+') do whole(number, 0) end
  return text(tonumber(trigger)), rule
end

function Recharge.rule(books)
  local words = books.account.recharge or redis.call('HGET', books.account_key, 'recharge') or ''
  local mode, amount, most, most_micros, retry, give_up, timeout, forecast = words:match(Recharge.RULE)
  return { mode = mode or 'none', amount = tonumber(amount), most = tonumber(most), most_micros = tonumber(most_micros),
           retry = tonumber(retry), give_up = tonumber(give_up), timeout = tonumber(timeout), forecast = tonumber(forecast or 0) }
end

function Recharge.refill(books)
  if not books.refill then
    local stored = redis.call('HGET', books.account_key, 'refill') or ''
    local state, number, amount, since, ends, failures, why = stored:match(Recharge.REFILL)
    books.refill = { state = state or 'armed', number = tonumber(number or 0), amount = tonumber(amount or 0),
      since = tonumber(since or 0), ends = tonumber(ends or 0), failures = tonumber(failures or 0), why = why or '' }
  end
  return books.refill
end

function Recharge.enter(books, state, ends, why)
  local refill = Recharge.refill(books)
  refill.state, refill.ends, refill.why = state, ends, why or ''
  change(books, 'refill', reply(state, refill.number, refill.amount, refill.since, ends, refill.failures, refill.why))
  change(books, 'armed', flag(state == 'armed' or state == 'succeeded'))
end

function Recharge.waits(refill)
  return refill.state == 'requested' or refill.state == 'pending'
end

function Recharge.id(books, number)
  return 'rch_' .. tenant_of(books) .. '_' .. text(number)
end

-- What ended unpaid may be paid all the same, and then its amount must be known.
function Recharge.leave(books)
  local refill = Recharge.refill(books)
  books.unpaid = { id = Recharge.id(books, refill.number), amount = refill.amount }
end

function Recharge.write_unpaid(books, keys)
  if not books.unpaid then return end
  redis.call('HSET', keys[6], books.unpaid.id, reply(books.unpaid.amount, 0, 0))
  redis.call('ZADD', keys[7], books.now, books.unpaid.id)
end

-- ------------------------------------------------------------------------------------------------ asking

function Recharge.amount(account, rule)
  local left = available(account)
  if rule.mode == 'fixed' then return rule.amount end
  return math.min(MAX, (rule.mode == 'level' and rule.amount or account.trigger + rule.amount) - left)
end

-- What is more than a day ahead was written before the clock was set back: as if it were long ago.
function Recharge.paid(books)
  local found = {}
  for at, amount in (redis.call('HGET', books.account_key, 'paid') or ''):gmatch('(%d+):(%d+)') do
    if math.abs(tonumber(at) - books.now) < DAY_MS then table.insert(found, { at = tonumber(at), amount = tonumber(amount) }) end
  end
  return found
end

function Recharge.note_paid(books, amount)
  local words = {}
  for _, one in ipairs(Recharge.paid(books)) do table.insert(words, text(one.at) .. ':' .. text(one.amount)) end
  table.insert(words, text(books.now) .. ':' .. text(amount))
  change(books, 'paid', table.concat(words, ' '))
end

-- Which of the day's bounds such a recharge would pass, and when it would not any more (0: never).
function Recharge.bound(books, rule, amount)
  local paid = Recharge.paid(books)
  if #paid >= rule.most then return 'daily_count', paid[#paid - rule.most + 1].at + DAY_MS end
  if rule.most_micros == 0 then return end
  local sum, ends = amount, 0
  for _, one in ipairs(paid) do sum = sum + one.amount end
  if sum <= rule.most_micros then return end
  for _, one in ipairs(paid) do
    sum, ends = sum - one.amount, one.at + DAY_MS
    if sum <= rule.most_micros then return 'daily_amount', ends end
  end
  return 'daily_amount', 0
end

function Recharge.facts(id, amount, more)
  local facts = { 'recharge_id', id, 'amount', text(amount) }
  for _, word in ipairs(more) do table.insert(facts, word) end
  return facts
end

function Recharge.time(ms)
  return ms > 0 and text(ms) or ''
end

function Recharge.give_up(books, amount, why, ends)
  emit(books, 'recharge.exhausted', { 'amount', text(amount), 'reason', why, 'until_ms', Recharge.time(ends),
    'failures', text(Recharge.refill(books).failures) })
  Recharge.enter(books, 'exhausted', ends, why)
end

function Recharge.request(books, rule, amount, why, call)
  local bound, bound_ends = Recharge.bound(books, rule, amount)
  if bound then return Recharge.give_up(books, amount, bound, bound_ends) end
  local refill = Recharge.refill(books)
  local ends = books.now + rule.timeout
  refill.number, refill.amount, refill.since = refill.number + 1, amount, books.now
  emit(books, 'recharge.requested', Recharge.facts(Recharge.id(books, refill.number), amount,
    { 'trigger', text(books.account.trigger), 'reason', why, 'call', call, 'forecast', Forecast.words(books),
      'expires_at_ms', text(ends) }))
  Recharge.enter(books, 'requested', ends)
end

-- Armed, and below the trigger or short of credit. A closed account could not take the money.
function Recharge.fire(books, call, why)
  local account, rule = books.account, Recharge.rule(books)
  if account.status == 'closed' then return end
  if rule.mode == 'none' then
    emit(books, 'balance.low', { 'trigger', text(account.trigger), 'reason', why, 'call', call })
    change(books, 'armed', '0')
    return
  end
  -- A call that wants more than a full account has is no reason to fill it up by a cent.
  if rule.mode ~= 'fixed' and available(account) >= account.trigger then return end
  Recharge.request(books, rule, Recharge.amount(account, rule), why, call)
end

-- Funds came by another way: whatever was asked for is not needed any more.
function Recharge.lifted(books)
  local account, refill = books.account, Recharge.refill(books)
  if account.trigger and available(account) < account.trigger then return end
  if Recharge.waits(refill) then Recharge.leave(books) end
  if refill.state == 'succeeded' or (refill.state == 'armed' and refill.failures == 0) then
    return change(books, 'armed', '1')
  end
  refill.failures = 0
  Recharge.enter(books, 'armed', 0)
end

-- ---------------------------------------------------------------------------------------------- the rule

-- A rule is a person's word: what was quiet, or had given up, begins anew. A payment that is under way goes on.
function Recharge.take_rule(books, words, is_by_hand)
  local trigger, rule = Recharge.checked(words)
  books.account.trigger = tonumber(trigger)
  table.insert(books.changed, 'trigger')
  table.insert(books.changed, trigger)
  change(books, 'recharge', rule)
  change(books, 'by_hand', flag(is_by_hand))
  Recharge.begin_anew(books)
end

function Recharge.begin_anew(books)
  local refill = Recharge.refill(books)
  if Recharge.waits(refill) then return end
  refill.failures = 0
  Recharge.enter(books, 'armed', 0)
end

function Recharge.said(books, is_repeat)
  local refill = Recharge.refill(books)
  return reply('recharge', refill.state, books.account.balance, flag(is_repeat), flag(#books.events > 0))
end

-- rule, is it by hand (1) or the config's again (0). The same again is a repeat, and begins nothing anew.
function Recharge.set(keys, args)
  local books = open_books(keys)
  local stored = redis.call('HMGET', keys[1], 'trigger', 'recharge', 'by_hand')
  local trigger, rule = Recharge.checked(args[1])
  if stored[1] == trigger and stored[2] == rule and stored[3] == args[2] then
    announce_expiry(books)
  else
    enter(books, 'terms', '', '', { note = reply(books.account.limit, args[1]) })
    Recharge.take_rule(books, args[1], args[2] == '1')
    announce(books, '')
  end
  local words = Recharge.said(books, false)
  write(books)
  return words
end

-- retry: what is quiet or has given up begins anew; request: and asks now, whatever is left.
function Recharge.ask(keys, args)
  local books, is_retry = open_books(keys), args[1] == 'retry'
  local account, rule, refill = books.account, Recharge.rule(books), Recharge.refill(books)
  if Recharge.waits(refill) then
    reject('bad_state', 'recharge ' .. Recharge.id(books, refill.number) .. ' is under way; wait for its answer')
  end
  if account.status == 'closed' then reject('account_closed', 'the account is closed; reopen it first') end
  if rule.mode == 'none' then reject('bad_state', 'this tenant has no automatic recharge; set its mode and amount') end
  if is_retry and refill.state ~= 'failed' and refill.state ~= 'exhausted' then
    reject('bad_state', 'there is nothing to try again: the last recharge neither failed nor was given up')
  end
  local amount = Recharge.amount(account, rule)
  if amount < 1 and not is_retry then
    reject('bad_state', 'the account has as much already as a recharge would lift it to')
  end
  if Recharge.bound(books, rule, amount) then
    reject('bad_state', 'this would be more than a day\'s recharges may be; wait, or set a larger bound')
  end
  Recharge.begin_anew(books)
  if not is_retry then Recharge.request(books, rule, amount, 'by_hand', '') end
  announce(books, '')
  local words = Recharge.said(books, false)
  write(books)
  return words
end

-- ------------------------------------------------------------------------------------------- who is asked to pay

-- number: it is about to leave for a payment system, which may take the money and never be heard. So what has left
-- before is to leave again, by the same id, also when its time is over: nobody knows whether it was paid. What has not
-- left, and is not waited for any more, is not to be paid. KEYS as for a top-up.
function Recharge.leaving(keys, args)
  local books, number = find_books(keys) or reject('unknown_account', 'the tenant has no account'), whole(args[1], 1)
  local refill = Recharge.refill(books)
  local booked = redis.call('HGET', keys[6], Recharge.id(books, number)) or ''
  if booked:match('^%d+ [1-9]') then return reply('leaving', 'no') end
  if redis.call('HGET', keys[1], 'asked') == text(number) then return reply('leaving', 'again') end
  local is_wanted = number == refill.number and Recharge.waits(refill) and books.account.status ~= 'closed'
  if is_wanted then redis.call('HSET', keys[1], 'asked', number) end
  return reply('leaving', is_wanted and 'first' or 'no')
end

-- number: nobody was reached; it is as if it had not left.
function Recharge.returned(keys, args)
  if redis.call('HGET', keys[1], 'asked') == args[1] then redis.call('HDEL', keys[1], 'asked') end
  return reply('done')
end

-- --------------------------------------------------------------------------------------------- the answers

function Recharge.fail(books, why)
  local rule, refill = Recharge.rule(books), Recharge.refill(books)
  Recharge.leave(books)
  refill.failures = refill.failures + 1
  local is_last = rule.mode ~= 'none' and refill.failures >= rule.give_up
  local quiet = rule.mode ~= 'none' and math.min(DAY_MS, rule.retry * 2 ^ math.min(refill.failures - 1, 30)) or 0
  local ends = (is_last or quiet == 0) and 0 or books.now + quiet
  emit(books, 'recharge.failed', Recharge.facts(Recharge.id(books, refill.number), refill.amount,
    { 'reason', why, 'failures', text(refill.failures), 'retry_at_ms', Recharge.time(ends) }))
  if is_last then
    Recharge.give_up(books, refill.amount, 'failures', 0)
  else -- where the rule is gone by now, there is nothing to try again
    Recharge.enter(books, quiet == 0 and 'armed' or 'failed', ends, why)
  end
  announce(books, '')
end

-- Books it as a top-up, whether it is the last recharge or one that had ended: the money is there.
function Recharge.pay_in(books, number, amount, why, expires)
  local id, refill = Recharge.id(books, number), Recharge.refill(books)
  if books.account.status == 'closed' then reject('account_closed', 'the account is closed; reopen it first') end
  if expires > 0 and expires <= books.now then reject('bad_amount', 'these funds would have expired already') end
  enter(books, 'topup', id, '', { note = why })
  local lot = new_lot(books, amount, expires == 0 and NEVER or expires)
  move(books, lot, 'source', 'credit', amount)
  pay(books)
  Recharge.note_paid(books, amount)
  if available(books.account) > 0 then change(books, 'exhausted', '0') end
  emit(books, 'recharge.succeeded', Recharge.facts(id, amount, { 'reason', why }))
  if number == refill.number then
    refill.failures = 0
    Recharge.enter(books, 'succeeded', 0)
  else
    Recharge.lifted(books)
  end
  announce(books, '')
  return lot
end

-- number, outcome, reason or source, expires at (ledger ms; 0: never; of what succeeded). KEYS as for a top-up.
-- Repeats of an answer do nothing; of what has ended, only that it was paid is news.
function Recharge.answer(keys, args)
  local books, number, outcome, why, expires = open_books(keys), whole(args[1], 1), args[2], args[3], whole(args[4], 0)
  local refill, id = Recharge.refill(books), nil
  if number > refill.number then reject('unknown_recharge', 'no recharge with this id was requested') end
  id = Recharge.id(books, number)
  local known = known_topup(keys, id)
  local is_booked = known and known.lot > 0
  if is_booked and outcome ~= 'succeeded' then
    reject('bad_state', 'this recharge succeeded before; take its top-up back by a reversal')
  end
  local is_current = number == refill.number and Recharge.waits(refill)
  if not known and not is_current then reject('too_old', 'this recharge ended longer ago than ids are kept') end
  local is_told = outcome == 'pending' and refill.state == 'pending'
  if is_booked or is_told or not (is_current or outcome == 'succeeded') then
    announce_expiry(books)
    local words = Recharge.said(books, true)
    write(books)
    return words
  end

  local lot
  local amount = known and known.amount or refill.amount
  if outcome == 'succeeded' then
    lot = Recharge.pay_in(books, number, amount, why, expires)
  elseif outcome == 'failed' then
    Recharge.fail(books, why)
  elseif outcome == 'pending' then
    local rule = Recharge.rule(books)
    Recharge.enter(books, 'pending', math.max(refill.ends, books.now + (rule.timeout or 0)), why)
    announce_expiry(books)
  else
    reject('bad_state', 'an answer is succeeded, failed or pending')
  end
  local words = Recharge.said(books, false)
  write(books)
  Recharge.write_unpaid(books, keys)
  if lot then
    redis.call('HSET', keys[6], id, reply(amount, lot, 0))
    redis.call('ZADD', keys[7], books.now, id)
    redis.pcall('PUBLISH', 'callgate:topups', tenant_of(books))
  end
  return words
end

-- Armed, and what is available would be gone within the rule's time. The figures are those of this step, so it does not
-- matter who asks, nor how often: a request that is under way is not armed. An account of which the level is half full
-- or better waits: else the forecast would fill it up by a cent each minute.
function Recharge.foresee(books)
  local account, rule = books.account, Recharge.rule(books)
  if rule.forecast == 0 or account.armed ~= '1' or not account.trigger then return end
  local seconds = Forecast.of(books)
  if not seconds or seconds > rule.forecast or account.status == 'closed' then return end
  if rule.mode == 'none' then return Recharge.fire(books, '', 'forecast') end
  local amount = Recharge.amount(account, rule)
  if rule.mode ~= 'fixed' and amount * 2 < amount + available(account) then return end
  Recharge.request(books, rule, amount, 'forecast', '')
end

-- What the clock brings.
function Recharge.tend(books)
  local refill = Recharge.refill(books)
  -- Nothing ends later than a day after what is counted: else it was written before the clock was set back.
  if refill.ends > 0 and (refill.ends <= books.now or refill.ends > books.now + 2 * DAY_MS) then
    if Recharge.waits(refill) then
      Recharge.fail(books, 'timeout')
    elseif refill.state == 'failed' or refill.state == 'exhausted' then
      Recharge.enter(books, 'armed', 0)
      announce(books, '')
    end
  end
  Recharge.foresee(books)
end
