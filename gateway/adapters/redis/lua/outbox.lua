-- =========================================================================================== the outbox
--[[
A tenant's events wait in a stream and leave it, the oldest first, when its webhook has acknowledged them. Several
gateways may deliver from it: who makes an attempt has a lease for as long as one lasts, and nobody else begins one.

KEYS of each step: outbox, delivery, dead. `delivery` is a hash, there only while something waits:
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
  LEAST_TRIES = 24, -- half a day of them: an endpoint that failed once, and then no gateway ran for days, has not had its time
  PACE_MS = 1000, -- between attempts for events that are given up one after the other
  MOST_TURN_MS = 60000, -- what is to end later than any turn, or any wait, was written before the clock was set back
  MOST_WAIT_MS = 7200000,
}

function Outbox.state(key, endpoint, now)
  local state = read(key, Outbox.FIELDS)
  if state.endpoint and state.endpoint ~= endpoint then
    state = { holder = state.holder, till = state.till, is_other = true }
  end
  for _, field in ipairs({ 'till', 'tries', 'since', 'due', 'gone' }) do state[field] = tonumber(state[field]) or 0 end
  if state.till > now + Outbox.MOST_TURN_MS then state.till = 0 end
  if state.due > now + Outbox.MOST_WAIT_MS then state.due = 0 end
  return state
end

function Outbox.at_ms(fields)
  for i = 1, #fields, 2 do
    if fields[i] == 'at_ms' then return tonumber(fields[i + 1]) end
  end
  return 0
end

function Outbox.bury(keys, entry, now, why)
  local fields = entry[2]
  for _, word in ipairs({ 'why', why, 'dead_at_ms', text(now) }) do table.insert(fields, word) end
  redis.call('XADD', keys[3], 'MAXLEN', '~', Outbox.MOST_DEAD, '*', unpack(fields))
  redis.call('XDEL', keys[1], entry[1])
end

-- Events that have waited for as long as an endpoint has failed, or wanted nothing, when that is long; `most` of them.
function Outbox.bury_old(keys, since, now, give_up_ms, why, most)
  local buried = 0
  if since == 0 or now - since < give_up_ms then return buried end
  for _, entry in ipairs(redis.call('XRANGE', keys[1], '-', '+', 'COUNT', most)) do
    if now - Outbox.at_ms(entry[2]) < give_up_ms then break end
    Outbox.bury(keys, entry, now, why)
    buried = buried + 1
  end
  return buried
end

function Outbox.let_go(keys)
  redis.call('HDEL', keys[2], 'holder', 'till')
end

function Outbox.is_held_by(keys, holder)
  return redis.call('HGET', keys[2], 'holder') == holder
end

-- holder, lease in ms, endpoint, ms after which to give up. { 'turn', tries, entry }: make the attempt, then say what
-- came of it; { 'wait', ms }; { 'gone', buried }; { 'empty' }.
function Outbox.claim(keys, args)
  local lease_ms, give_up_ms, now = whole(args[2], 1), whole(args[4], 1), now_ms()
  local entry = redis.call('XRANGE', keys[1], '-', '+', 'COUNT', 1)[1]
  if not entry then return { 'empty' } end
  local state = Outbox.state(keys[2], args[3], now)
  if state.holder and state.holder ~= args[1] and state.till > now then return { 'wait', text(state.till - now) } end
  if state.is_other then redis.call('DEL', keys[2]) end
  if state.gone > 0 then
    local buried = Outbox.bury_old(keys, state.since, now, give_up_ms, state.why or '', Outbox.AT_ONCE)
    return { 'gone', text(buried) }
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

-- holder, wait in ms, ms after which to give up, why: the attempt failed. The event alone is given up: one that its
-- receiver cannot take must not drag those behind it along. The next one's turn is then soon.
function Outbox.failed(keys, args)
  local wait_ms, give_up_ms, now = whole(args[2], 0), whole(args[3], 1), now_ms()
  if not Outbox.is_held_by(keys, args[1]) then return reply('failed', 0) end
  redis.call('HSETNX', keys[2], 'since', now)
  local tries = redis.call('HINCRBY', keys[2], 'tries', 1)
  local since, buried = tonumber(redis.call('HGET', keys[2], 'since')), 0
  if tries >= Outbox.LEAST_TRIES then buried = Outbox.bury_old(keys, since, now, give_up_ms, args[4], 1) end
  if buried > 0 then wait_ms = math.min(wait_ms, Outbox.PACE_MS) end
  redis.call('HSET', keys[2], 'due', now + wait_ms, 'why', args[4])
  Outbox.let_go(keys)
  return reply('failed', buried)
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

-- endpoint. How it goes: waiting, age of the oldest in ms, dead, tries, ms until the next attempt, since, gone, why.
function Outbox.look(keys, args)
  local entry = redis.call('XRANGE', keys[1], '-', '+', 'COUNT', 1)[1]
  local now = now_ms()
  local state = Outbox.state(keys[2], args[1], now)
  local age = entry and math.max(0, now - Outbox.at_ms(entry[2])) or 0
  local next_ms = math.max(0, state.due - now, state.holder and state.till - now or 0)
  return reply('outbox', redis.call('XLEN', keys[1]), age, redis.call('XLEN', keys[3]), state.tries, next_ms,
    state.since, state.gone, state.why or '')
end

-- Entries of the dead: they go to the end of the outbox as they were, and the endpoint is tried at once, also one that
-- said 410. Not too many at a time: the server does nothing else meanwhile.
function Outbox.retry(keys, args)
  local count = 0
  for _, id in ipairs(args) do
    local entry = redis.call('XRANGE', keys[3], id, id)[1]
    if entry then
      redis.call('XADD', keys[1], '*', unpack(Outbox.as_it_was(entry[2])))
      redis.call('XDEL', keys[3], id)
      count = count + 1
    end
  end
  redis.call('HDEL', keys[2], 'tries', 'since', 'due', 'why', 'gone')
  return reply('done', count)
end

function Outbox.as_it_was(dead)
  local fields = {}
  for i = 1, #dead, 2 do
    if dead[i] ~= 'why' and dead[i] ~= 'dead_at_ms' then
      table.insert(fields, dead[i])
      table.insert(fields, dead[i + 1])
    end
  end
  if fields[#fields - 1] ~= 'again' then -- so that others who read the stream know that it was there before
    table.insert(fields, 'again')
    table.insert(fields, '1')
  end
  return fields
end
