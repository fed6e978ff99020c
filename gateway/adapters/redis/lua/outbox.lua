-- =========================================================================================== the outbox
--[[
A tenant's events wait in a stream and leave it, the oldest first, when its webhook has acknowledged them. Several
gateways may deliver from it: who makes an attempt has a lease for as long as one lasts, and nobody else begins one.

Where requests for a recharge go to a program, they have a turn of their own, so that neither receiver waits for the
other: `lane`, the last word of a step, says which events are meant. '' is all of them; 'payments' the requests;
'events' all else.

KEYS of each step: outbox, delivery, dead, and of retry the other lane's delivery. `delivery` is a hash, there only while something waits:
  holder, till       whose attempt is under way, and when that is over in any case
  endpoint           a mark of the URL and its secrets: with another one all below begins anew
  tries, since       attempts that failed since the last that did not, and when the first of them did
  due, why           when the next one may be made; what came of the last
  gone               when the endpoint said 410: no attempt is made until a person or another endpoint comes
`dead` is a stream of events that were given up, each with why and dead_at_ms; the oldest of very many are forgotten.
]]

local Outbox = { -- one table for all: a chunk of Lua has at most 200 local variables
  FIELDS = { 'holder', 'till', 'endpoint', 'tries', 'since', 'due', 'why', 'gone' },
  AT_ONCE = 1000,
  MOST_DEAD = 10000,
}

function Outbox.state(key, endpoint)
  local state = read(key, Outbox.FIELDS)
  if state.endpoint and state.endpoint ~= endpoint then
    state = { holder = state.holder, till = state.till, is_other = true }
  end
  for _, field in ipairs({ 'till', 'tries', 'since', 'due', 'gone' }) do state[field] = tonumber(state[field]) or 0 end
  return state
end

function Outbox.at_ms(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'at_ms' then return tonumber(fields[i + 1]) end
  end
  return 0
end

function Outbox.is_of(entry, lane)
  return lane == '' or (entry[2][4] == 'recharge.requested') == (lane == 'payments')
end

-- The first event of a lane, and how many it has; of all lanes together that is known without a look.
function Outbox.oldest(key, lane, counts)
  if lane == '' then
    return redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1], counts and redis.call('XLEN', key) or 0
  end
  local after, found, count = '-', nil, 0
  while counts or not found do
    local page = redis.call('XRANGE', key, after, '+', 'COUNT', 100)
    if #page == 0 then break end
    for _, entry in ipairs(page) do
      if Outbox.is_of(entry, lane) then
        found, count = found or entry, count + 1
      end
    end
    after = '(' .. page[#page][1]
  end
  return found, count
end

function Outbox.bury(keys, entry, now, why)
  local fields = entry[2]
  for _, word in ipairs({ 'why', why, 'dead_at_ms', text(now) }) do table.insert(fields, word) end
  redis.call('XADD', keys[3], 'MAXLEN', '~', Outbox.MOST_DEAD, '*', unpack(fields))
  redis.call('XDEL', keys[1], entry[1])
end

-- Events are given up that are as old as an endpoint has failed, when that is long: each had its time.
function Outbox.bury_old(keys, since, now, give_up_ms, why, lane)
  local buried = 0
  if since == 0 or now - since < give_up_ms then return buried end
  for _, entry in ipairs(redis.call('XRANGE', keys[1], '-', '+', 'COUNT', Outbox.AT_ONCE)) do
    if now - Outbox.at_ms(entry[2]) < give_up_ms then break end
    if Outbox.is_of(entry, lane) then
      Outbox.bury(keys, entry, now, why)
      buried = buried + 1
    end
  end
  return buried
end

function Outbox.let_go(keys)
  redis.call('HDEL', keys[2], 'holder', 'till')
end

function Outbox.is_held_by(keys, holder)
  return redis.call('HGET', keys[2], 'holder') == holder
end

-- holder, lease in ms, endpoint, ms after which to give up, lane. { 'turn', tries, entry }: make the attempt, then say what
-- came of it; { 'wait', ms }; { 'gone', buried }; { 'empty' }.
function Outbox.claim(keys, args)
  local lease_ms, give_up_ms, now = whole(args[2], 1), whole(args[4], 1), now_ms()
  local entry = Outbox.oldest(keys[1], args[5])
  if not entry then return { 'empty' } end
  local state = Outbox.state(keys[2], args[3])
  if state.holder and state.holder ~= args[1] and state.till > now then return { 'wait', text(state.till - now) } end
  if state.is_other then redis.call('DEL', keys[2]) end
  if state.gone > 0 then
    return { 'gone', text(Outbox.bury_old(keys, state.since, now, give_up_ms, state.why or '', args[5])) }
  end
  if state.due > now then return { 'wait', text(state.due - now) } end
  redis.call('HSET', keys[2], 'holder', args[1], 'till', now + lease_ms, 'endpoint', args[3])
  return { 'turn', text(state.tries), entry }
end

-- holder, entry: it was acknowledged, whoever's turn it is by now.
function Outbox.done(keys, args)
  redis.call('XDEL', keys[1], args[2])
  if Outbox.is_held_by(keys, args[1]) then redis.call('DEL', keys[2]) end
  return reply('done')
end

-- holder, wait in ms, ms after which to give up, why, lane: the attempt failed.
function Outbox.failed(keys, args)
  local wait_ms, give_up_ms, now = whole(args[2], 0), whole(args[3], 1), now_ms()
  if not Outbox.is_held_by(keys, args[1]) then return reply('failed', 0) end
  redis.call('HSETNX', keys[2], 'since', now)
  redis.call('HINCRBY', keys[2], 'tries', 1)
  redis.call('HSET', keys[2], 'due', now + wait_ms, 'why', args[4])
  Outbox.let_go(keys)
  local since = tonumber(redis.call('HGET', keys[2], 'since'))
  return reply('failed', Outbox.bury_old(keys, since, now, give_up_ms, args[4], args[5]))
end

-- holder, why: the endpoint wants nothing more.
function Outbox.gone(keys, args)
  if not Outbox.is_held_by(keys, args[1]) then return reply('done') end
  local now = now_ms()
  redis.call('HSETNX', keys[2], 'since', now)
  redis.call('HSET', keys[2], 'gone', now, 'why', args[2])
  Outbox.let_go(keys)
  return reply('done')
end

-- holder, entry, why: this one can never be sent, the next one may.
function Outbox.give_up(keys, args)
  local entry = redis.call('XRANGE', keys[1], args[2], args[2])[1]
  if entry then Outbox.bury(keys, entry, now_ms(), args[3]) end
  if Outbox.is_held_by(keys, args[1]) then Outbox.let_go(keys) end
  return reply('done')
end

-- endpoint, lane. How it goes: waiting, age of the oldest in ms, dead, tries, ms until the next attempt, since, gone, why.
function Outbox.look(keys, args)
  local entry, waiting = Outbox.oldest(keys[1], args[2], true)
  local state, now = Outbox.state(keys[2], args[1]), now_ms()
  local age = entry and math.max(0, now - Outbox.at_ms(entry[2])) or 0
  local next_ms = math.max(0, state.due - now, state.holder and state.till - now or 0)
  return reply('outbox', waiting, age, redis.call('XLEN', keys[3]), state.tries, next_ms,
    state.since, state.gone, state.why or '')
end

-- ids of events, or none for all that are dead: they go to the end of the outbox as they were, and the endpoint is tried
-- at once, also one that said 410.
function Outbox.retry(keys, args)
  local count = 0
  for _, entry in ipairs(Outbox.named(keys[3], args)) do
    local fields = {}
    for i = 1, #entry[2], 2 do
      if entry[2][i] ~= 'why' and entry[2][i] ~= 'dead_at_ms' then
        table.insert(fields, entry[2][i])
        table.insert(fields, entry[2][i + 1])
      end
    end
    if fields[#fields - 1] ~= 'again' then -- so that others who read the stream know that it was there before
      table.insert(fields, 'again')
      table.insert(fields, '1')
    end
    redis.call('XADD', keys[1], '*', unpack(fields))
    redis.call('XDEL', keys[3], entry[1])
    count = count + 1
  end
  for _, key in ipairs({ keys[2], keys[4] }) do redis.call('HDEL', key, 'tries', 'since', 'due', 'why', 'gone') end
  return reply('done', count)
end

-- ids of events, dead or waiting, or none for all that are dead: they are forgotten.
function Outbox.drop(keys, args)
  local count = 0
  for _, key in ipairs(#args == 0 and { keys[3] } or { keys[3], keys[1] }) do
    for _, entry in ipairs(Outbox.named(key, args)) do count = count + redis.call('XDEL', key, entry[1]) end
  end
  return reply('done', count)
end

-- Entries of a stream by the ids of their events, which stand first in each; all of them where none is named.
function Outbox.named(key, ids)
  local wanted, found = {}, {}
  for _, id in ipairs(ids) do wanted[id] = true end
  for _, entry in ipairs(redis.call('XRANGE', key, '-', '+', 'COUNT', Outbox.MOST_DEAD * 2)) do
    if #ids == 0 or wanted[entry[2][2]] then table.insert(found, entry) end
  end
  return found
end
