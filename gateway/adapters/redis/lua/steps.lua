-- ========================================================================================= a call's steps

local GRANTED, SETTLED = form('granted # # # %s %s #'), form('settled # # # %s %s')

local function granted_reply(books, call, is_short, has_outbox)
  return GRANTED:format(call.granted, call.held, available(books.account), flag(is_short), flag(has_outbox),
    call.included)
end

local function settled_reply(books, total, seconds, is_estimate, has_outbox)
  return SETTLED:format(total, seconds, books.account.balance, flag(is_estimate), flag(has_outbox))
end

-- Credit ran short: the tenant's other calls may give back what lies beyond the end of this one's grant (PBX ms; 0 where
-- it is not answered yet). pcall: who may not hear it loses nothing.
local function tell_short(books, id, offer, call)
  if not offer.is_fair then return end
  local ends_at = call and field_of_call(books, 'answered_at') + call.granted * 1000 or 0
  redis.pcall('PUBLISH', 'callgate:short', reply(tenant_of(books), id, offer.share or 0, ends_at))
end

local function refuse_reserve(books, id, refused, curbs, meta)
  note_refusal(books, curbs, id, refused, meta)
  local words = refused_reply(refused, announce(books, id, refused.reason == 'no_credit' and 'refused' or nil))
  write(books)
  redis.call('HSET', books.call_key, 'state', 'refused', 'done', 'reserve', 'reply', words)
  redis.call('PEXPIRE', books.call_key, REFUSAL_KEPT_MS)
  write_limits(books)
  return words
end

-- What is told of an ask: its meta without its price, with which the last brace went.
local function own_meta(args)
  return args[4] == '' and args[3] or args[3] .. '}'
end

-- Keys beyond those of every step of a call: refusals, those of who is paused, countries, the log of refusals, a log for
-- each rate.
local function open_asking(keys)
  local books = find_books(keys)
  if not books then return nil end
  books.refusals_key, books.paused_key, books.countries_key, books.refused_log = unpack(keys, 10, 13)
  return books
end

-- call, validity in ms, meta, id and text of its price, curbs, offer
local function reserve(keys, args, fence)
  local books, id, validity_ms = open_asking(keys), args[1], whole(args[2], 1)
  if not books then return refused_reply(refusal('unknown_tenant'), false) end
  local call = read_call(books, fence)
  if call.done == 'reserve' then return field_of_call(books, 'reply') end
  if books.account.status == 'closed' then return refused_reply(refusal('account_closed'), false) end
  if is_closed(call) then return refused_reply(refusal('bad_ask'), false) end
  if call.state then must_be_newer(call, 0) end
  expire(books)

  local curbs, at = read_curbs(args, 6, true)
  local offer = read_offer(args, at)
  offer.is_first = true
  local refused = judge_ask(books, curbs, keys, id)
  if refused then return refuse_reserve(books, id, refused, curbs, own_meta(args)) end
  local grant
  grant, refused = best_grant(books, call, offer, 0, curbs)
  if not grant then
    local words = refuse_reserve(books, id, refused, curbs, own_meta(args))
    if refused.reason == 'no_credit' then tell_short(books, id, offer) end
    return words
  end
  call.pool = grant.included > 0 and offer.pool or ''
  enter(books, 'reserve', id, 0, { pool = call.pool, included = take_included(books, call, grant.included),
    note = own_meta(args) })
  hold(books, call.parts, grant.price)
  call.state, call.granted, call.held = 'reserved', grant.seconds, grant.price
  call.valid_until = books.now + validity_ms
  local tags = tags_of(curbs.checks)
  add_by_tags(books, tags, 1, 0, 0)
  count_grant(books, curbs, id, grant.price, grant.seconds)
  if is_new_country(books, curbs) then tell_country(books, curbs, id, false) end
  local has_outbox = announce(books, id, grant.is_credit_short and 'short' or nil)
  local words = granted_reply(books, call, grant.is_short, has_outbox)
  write(books)
  keep_meta(books, call, args[3], args[4], args[5])
  call.tags = tags
  write_call(books, id, call, 'done', 'reserve', 'reply', words, 'leg', '', 'answered_at', 0, 'price', call.price,
    risen(fence))
  if grant.is_cut then tell_short(books, id, offer) end
  return words
end

-- call, leg, answered at (PBX ms), validity in ms
local function answer(keys, args)
  local books, id, leg = open_books(keys), args[1], args[2]
  local answered_at, validity_ms = whole(args[3], 1), whole(args[4], 1)
  local call = known_call(books)
  if call.state == 'answered' and field_of_call(books, 'leg') == leg then return reply('done') end
  if call.state ~= 'reserved' and call.state ~= 'in_doubt' then
    reject('bad_state', 'the call is ' .. call.state .. '; one reservation pays for one answered leg')
  end
  count_rate(books, call, true)
  announce_expiry(books)
  enter(books, 'answer', id, 0, { note = leg })
  write(books)
  local valid_until = books.now + validity_ms
  redis.call('HSET', books.call_key, 'state', 'answered', 'leg', leg, 'answered_at', answered_at,
    'valid_until', valid_until)
  redis.call('ZADD', books.live_key, valid_until, id)
  return reply('done')
end

local function must_be_answered(call)
  if call.state ~= 'answered' then
    reject('bad_state', 'the call is ' .. call.state .. '; only an answered call has a quota to change')
  end
end

-- What is committed never goes back: an estimate may have charged more of a call that was opened again.
local function commit_of(call, committed, most)
  if committed > most then reject('exceeds_grant', 'only ' .. text(most) .. ' micro-units were granted') end
  return math.max(committed, call.charged)
end

-- An extension counts in the periods of now; what the first quantum was held too much for returns to those of before.
local function count_extension(books, curbs, id, call, grant, paid)
  local tags = tags_of_call(books, call)
  if tags == '' and #curbs.checks == 0 then return end
  local micros = grant.price - paid
  add_by_tags(books, tags, 0, math.min(0, micros), 0)
  count_grant(books, curbs, id, math.max(0, micros), grant.seconds - call.granted)
  local renewed = renewed_tags(tags, curbs.checks)
  if renewed ~= tags then call.tags = renewed end
end

-- call, step, committed in all, validity in ms, curbs, offer
local function extend(keys, args, fence)
  local books, id, step = open_books(keys), args[1], whole(args[2], 1)
  local committed, validity_ms = whole(args[3], 0), whole(args[4], 1)
  local call, name = known_call(books, fence), 'extend:' .. args[2]
  if call.done == name then return field_of_call(books, 'reply') end
  must_be_answered(call)
  must_be_newer(call, step)
  local paid = call.charged + call.held
  committed = commit_of(call, committed, paid)
  local curbs, at = read_curbs(args, 5, false)
  local offer = read_offer(args, at)
  if call.included > 0 and offer.pool ~= '' and offer.pool ~= call.pool then
    reject('bad_state', 'the call draws on ' .. call.pool)
  end
  read_limits(books, curbs)
  local grant, refused = nil, judge_pause(books, curbs.pauses, true)
  if not refused then grant, refused = best_grant(books, call, offer, paid, curbs) end
  if grant and (grant.seconds <= call.granted or grant.price < committed) then
    reject('bad_amount', 'the ladder of an extend must lie beyond what was granted and committed')
  end

  if call.pool == '' then call.pool = grant and grant.included > 0 and offer.pool or '' end
  local included = grant and take_included(books, call, grant.included) or 0
  enter(books, 'extend', id, step, { pool = call.pool, included = included })
  charge(books, call.parts, committed - call.charged)
  if grant then
    hold(books, call.parts, math.max(0, grant.price - paid))
    give_back(books, call.parts, math.max(0, paid - grant.price)) -- the first quantum was held at the dearest
  end
  call.step, call.charged, call.held = step, committed, (grant and grant.price or paid) - committed
  pay(books)
  local words
  if grant then
    count_extension(books, curbs, id, call, grant, paid)
    call.granted, call.valid_until = grant.seconds, books.now + validity_ms
    count_rate(books, call, true)
    words = granted_reply(books, call, grant.is_short, announce(books, id, grant.is_credit_short and 'short' or nil))
  else
    words = refused_reply(refused, announce(books, id, refused.reason == 'no_credit' and 'refused' or nil))
  end
  write(books)
  write_call(books, id, call, 'done', name, 'reply', words, risen(fence))
  if grant and grant.is_cut or refused and refused.reason == 'no_credit' then tell_short(books, id, offer, call) end
  return words
end

-- call, step, committed in all, seconds, price of these in all, included seconds, validity in ms
local function shrink(keys, args, fence)
  local books, id, step = open_books(keys), args[1], whole(args[2], 1)
  local committed, seconds, total = whole(args[3], 0), whole(args[4], 1), whole(args[5], 0)
  local included, validity_ms = whole(args[6], 0), whole(args[7], 1)
  local call, name = known_call(books, fence), 'shrink:' .. args[2]
  if call.done == name then return field_of_call(books, 'reply') end
  must_be_answered(call)
  must_be_newer(call, step)
  local paid = call.charged + call.held
  if total > paid or seconds >= call.granted or included > call.included then
    reject('exceeds_grant', 'only ' .. text(call.granted) .. ' s for ' .. text(paid) .. ' micro-units were granted')
  end
  committed = commit_of(call, committed, paid)
  if committed > total then reject('bad_amount', 'a grant does not shrink to less than what is committed') end

  enter(books, 'shrink', id, step, { pool = call.pool, included = take_included(books, call, included) })
  charge(books, call.parts, committed - call.charged)
  give_back(books, call.parts, paid - total)
  add_by_tags(books, tags_of_call(books, call), 0, total - paid, seconds - call.granted)
  call.step, call.charged, call.held, call.granted = step, committed, total - committed, seconds
  call.valid_until = books.now + validity_ms
  count_rate(books, call, true)
  pay(books)
  local words = granted_reply(books, call, false, announce(books, id))
  write(books)
  write_call(books, id, call, 'done', name, 'reply', words, risen(fence))
  redis.pcall('PUBLISH', 'callgate:topups', tenant_of(books)) -- final calls may go on with it
  return words
end

-- A settle tells what has happened. It outranks an estimate, and the release of a call that this settle's sender alone
-- heard answered.
local function outranks(call, is_estimate)
  return not is_estimate and (call.state == 'estimated' or call.state == 'released')
end

local function may_settle(call, step, is_estimate)
  if outranks(call, is_estimate) then return end
  must_be_newer(call, step)
  if call.state == 'answered' or (call.state == 'in_doubt' and not is_estimate) then return end
  reject('bad_state', 'the call is ' .. call.state .. '; only what was answered is charged')
end

-- From what is held; or, for a call that holds nothing any more, by an adjustment.
local function settle_money(books, call, total, is_late)
  local charged = call.charged
  if not is_late then
    charged = math.max(total, call.charged)
    charge(books, call.parts, charged - call.charged)
    give_back(books, call.parts, call.charged + call.held - charged)
  end
  -- The last extend committed up to the gateway's now; the leg had ended just before, which was not heard yet.
  if total < charged then refund(books, charged - total) end
  if total > charged then demand(books, total - charged) end
end

-- What was granted and not used returns to what the limits count. A correction comes too late for that.
local function uncount(books, call, total, seconds)
  add_by_tags(books, tags_of_call(books, call), -1, math.min(0, total - call.charged - call.held),
    math.min(0, seconds - call.granted))
end

-- call, step, charge in all, seconds, included seconds used, is it an estimate (0 or 1), ids kept in ms; then, where a
-- guard counts short calls, its trigger and below how many seconds a call is short. KEYS: the guard's log.
local function settle(keys, args)
  local books, id, step = open_books(keys), args[1], whole(args[2], 1)
  local total, seconds, included = whole(args[3], 0), whole(args[4], 0), whole(args[5], 0)
  local is_estimate, kept_ms = args[6] == '1', whole(args[7], 1)
  local call, name = known_call(books), (is_estimate and 'estimate:' or 'settle:') .. args[2]
  if call.done == name or (is_estimate and call.state == 'estimated') then return field_of_call(books, 'reply') end
  if call.state == 'settled' then reject('settled', 'another step has settled the call before') end
  may_settle(call, step, is_estimate)
  local is_late = outranks(call, is_estimate)
  local most, most_included = call.charged + call.held, call.included
  if is_late then -- it was closed, and keeps what may be charged all the same
    most = most + (field_of_call(books, 'cap') or 0)
    most_included = math.max(most_included, field_of_call(books, 'included_cap') or 0)
  end
  if total > most or included > most_included then
    reject('exceeds_grant', 'only ' .. text(most) .. ' micro-units and ' .. text(most_included) ..
      ' included seconds were granted')
  end

  local kind = is_estimate and 'estimate' or is_late and 'correct' or 'settle'
  enter(books, kind, id, step, { pool = call.pool, included = take_included(books, call, included),
    total = total, note = seconds })
  settle_money(books, call, total, is_late)
  if not is_late then uncount(books, call, total, seconds) end
  if #args > 7 and not is_estimate and seconds < whole(args[13], 1) then
    count_for(books, read_trigger(args, 8), keys[10], id)
  end
  count_rate(books, call, false)
  pay(books)
  local words = settled_reply(books, total, seconds, is_estimate, announce(books, id))
  write(books)
  if is_estimate then
    -- cap: what a correction may still charge beyond the estimate, all of it granted before.
    call.state, call.step, call.charged, call.held, call.parts = 'estimated', step, total, 0, {}
    close_estimated(books, id, call, kept_ms, 'done', name, 'reply', words, 'cap', most - total,
      'included_cap', most_included)
  else
    close_call(books, id, call, kept_ms, 'state', 'settled', 'step', step, 'done', name, 'reply', words)
  end
  return words
end

-- call, ids kept in ms
local function release(keys, args, fence)
  local books, id, kept_ms = open_books(keys), args[1], whole(args[2], 1)
  local call = read_call(books, fence)
  if call.done == 'release' then return field_of_call(books, 'reply') end
  if call.state == 'answered' or is_closed(call) then
    reject('bad_state', 'the call is ' .. call.state .. '; settle it')
  end
  local most, most_included = call.charged + call.held, call.included
  enter(books, 'release', id, call.step, { pool = call.pool, included = take_included(books, call, 0) })
  give_back(books, call.parts, call.held)
  if call.state == 'reserved' or call.state == 'in_doubt' then uncount(books, call, 0, 0) end
  pay(books)
  local words = settled_reply(books, 0, 0, false, announce(books, id))
  write(books)
  -- cap: what a settle may still charge, should somebody have heard an answer after all.
  local in_pool = most_included > 0 and { 'included_cap', most_included, 'pool', call.pool } or {}
  close_call(books, id, call, kept_ms, 'state', 'released', 'step', call.step, 'done', 'release', 'reply', words,
    'cap', most, unpack(in_pool))
  return words
end

-- call
local function doubt(keys, args)
  local books, id = open_books(keys), args[1]
  local call = read_call(books)
  -- Looked at again here: an answer may have come since the caller saw it expired.
  if call.state == 'reserved' and field_of_call(books, 'valid_until') + 0 <= books.now then
    announce_expiry(books)
    enter(books, 'doubt', id, call.step)
    write(books)
    redis.call('HSET', books.call_key, 'state', 'in_doubt')
  end
  return reply('done')
end

-- call, step, granted seconds, price of these in all, pool, included seconds, leg, answered at, validity in ms, meta, id
-- and text of its price, curbs
-- A fail-over lost writes of this call, or it was estimated while it went on: it is made anew, raised, or opened again,
-- to what the gateway and the switch know of it. Where it is not the owner who does it, under its fence, the owner is told,
-- also of what the books know: a reserve of that gateway may have come here as late.
local function register_again(keys, args, fence)
  local books, id, step, granted = open_books(keys), args[1], whole(args[2], 0), whole(args[3], 1)
  local total, pool, included = whole(args[4], 0), args[5], whole(args[6], 0)
  local leg, answered_at, validity_ms = args[7], whole(args[8], 0), whole(args[9], 1)
  local call = read_call(books, fence)
  if call.state == 'settled' or call.state == 'released' then
    reject('bad_state', 'the call is ' .. call.state .. '; it holds nothing any more')
  end
  if not fence then redis.pcall('PUBLISH', 'callgate:registered', reply(tenant_of(books), id)) end
  local was_estimated, is_known = call.state == 'estimated', call.state and call.state ~= 'refused'
  if call.state == 'refused' or was_estimated then call.state = was_estimated and 'answered' or nil end
  local state = leg ~= '' and 'answered' or call.state or 'reserved'
  local missing = math.max(0, total - call.charged - call.held)
  included = math.max(included, call.included)
  if not was_estimated and call.state == state and missing == 0 and granted <= call.granted and step <= call.step and
      included == call.included then
    return reply('done')
  end

  if call.pool == '' then call.pool = pool end
  enter(books, 'register', id, step, { pool = call.pool, note = leg,
    included = take_included(books, call, included) })
  hold(books, call.parts, missing) -- past the limit, if need be: it is granted and talked already
  -- The estimate's step was not the gateway's, which counts on from its own.
  call.step = was_estimated and step or math.max(step, call.step)
  local curbs = read_curbs(args, 13, false)
  local tags = is_known and tags_of_call(books, call) or tags_of(curbs.checks)
  add_by_tags(books, tags, is_known and not was_estimated and 0 or 1, 0, 0)
  if is_known then
    -- An estimate gave back what lay beyond its seconds.
    local counted = was_estimated and tonumber(field_of_call(books, 'reply'):match('^settled %d+ (%d+)')) or call.granted
    add_by_tags(books, tags, 0, missing, math.max(0, granted - counted))
  else
    count_grant(books, curbs, id, missing, granted)
  end
  call.state, call.held = state, call.held + missing
  call.granted, call.valid_until = math.max(granted, call.granted), books.now + validity_ms
  count_rate(books, call, state == 'answered')
  announce(books, id)
  write(books)
  keep_meta(books, call, args[10], args[11], args[12])
  call.tags = tags
  write_call(books, id, call, 'done', 'register:' .. text(step), 'reply', reply('done'), 'price', call.price,
    risen(fence))
  if (field_of_call(books, 'leg') or '') == '' then
    redis.call('HSET', books.call_key, 'leg', leg, 'answered_at', answered_at)
  end
  redis.call('HDEL', books.call_key, 'cap', 'included_cap')
  redis.call('PERSIST', books.call_key)
  return reply('done')
end
