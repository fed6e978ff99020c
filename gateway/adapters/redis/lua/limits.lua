-- ================================================================================================= limits
--[[
What restrains a step beyond credit: counters in the hash `limits`, and logs of asks in lists of their own. The names
are the gateway's; what they are for is not known here.

  live:COUNTER     calls that are live and carry it
  used:COUNTER     "USED UNTIL TOLD": micro-units or seconds granted in a period, when that ends (ms), and of which
                   bound it was told that 80 % are used (0: of none)
  pause:TARGET     "UNTIL SINCE GUARD WHY": asks are refused until then (ms); 0: until a person lifts it, and no call
                   goes on
  near:PREFIX      "DIGITS@MS ...": the last numbers dialled there
A log holds the instants (ms) of the last asks, or refusals, or short calls.

A call carries the names of what it is counted by as tags, `l:COUNTER` and `m:COUNTER` (money) or `t:COUNTER` (time) of
its last grant: what it gives back returns there. They are kept beside its meta.

Words of the curbs in ARGV, from `at`: PAUSES (names, blanks between), how many CHECKS, of each KIND REASON LIMIT COUNTER
MOST WINDOW; then, of an ask alone, GUARDED: 0, or 1 and DIGITS PREFIX COUNTRY HOLDS and two TRIGGERS (refusals, sequence)
of GUARD TARGET COUNT WINDOW PAUSE each (COUNT 0: off; PAUSE '': it only tells).
]]

local SOON = 0.8 -- of a period's money or time: told once, and again where a reload has raised the bound
local NEAR_NUMBERS, NEAR_KEPT = 20, 16
local QUARANTINE = 0

local function read_trigger(args, at)
  local count = whole(args[at + 2], 0)
  if count == 0 then return nil end
  return { guard = args[at], target = args[at + 1], count = count, window = whole(args[at + 3], 1),
           pause = args[at + 4] ~= '' and whole(args[at + 4], 0) or nil }
end

-- The curbs, and where the words after them begin.
local function read_curbs(args, at, is_ask)
  local curbs = { pauses = args[at], checks = {} }
  local count = whole(args[at + 1], 0)
  at = at + 2
  for _ = 1, count do
    curbs.checks[#curbs.checks + 1] = { kind = args[at], reason = args[at + 1], limit = args[at + 2], counter = args[at + 3],
      most = whole(args[at + 4], 0), window = whole(args[at + 5], 0) }
    at = at + 6
  end
  if not is_ask then return curbs, at end
  local is_guarded = args[at] == '1'
  if not is_guarded then return curbs, at + 1 end
  curbs.digits, curbs.prefix, curbs.country, curbs.holds = args[at + 1], args[at + 2], args[at + 3], args[at + 4] == '1'
  curbs.refusals, curbs.sequence = read_trigger(args, at + 5), read_trigger(args, at + 10)
  return curbs, at + 15
end

-- ------------------------------------------------------------------------------------------------ counters

local COUNTED = { live = 'live:', money = 'used:', time = 'used:' }

-- What a step's curbs look at, read at once.
local function read_limits(books, curbs)
  local names, found = {}, {}
  for name in curbs.pauses:gmatch('%S+') do names[#names + 1] = 'pause:' .. name end
  for _, check in ipairs(curbs.checks) do
    local kind = COUNTED[check.kind]
    if kind then names[#names + 1] = kind .. check.counter end
  end
  if #names == 0 then return end
  for i, word in ipairs(redis.call('HMGET', books.limits_key, unpack(names))) do found[names[i]] = word or '' end
  books.limits = found
end

local function limit_of(books, name)
  return books.limits and books.limits[name] or redis.call('HGET', books.limits_key, name) or ''
end

local function counter_of(books, name)
  local counters = books.counters
  if not counters[name] then
    local stored = limit_of(books, name)
    local used, ends, told = stored:match('^(%d+) (%d+) (%d+)$')
    counters[name] = { used = tonumber(used or stored) or 0, ends = tonumber(ends or 0), told = tonumber(told or 0) }
  end
  return counters[name]
end

local function add_to(books, name, amount)
  local counter = counter_of(books, name)
  -- A fail-over may have lost what is given back now.
  counter.used = math.max(0, counter.used + amount)
  counter.is_changed = true
  return counter
end

-- What is written after all else, as nothing of it can fail.
local function later(books, ...)
  table.insert(books.later, { ... })
end

local function write_limits(books)
  local words = {}
  for name, counter in pairs(books.counters) do
    if counter.is_changed and counter.used == 0 and counter.told == 0 then
      redis.call('HDEL', books.limits_key, name)
    elseif counter.is_changed then
      local is_live = name:sub(1, 5) == 'live:'
      words[#words + 1], words[#words + 2] = name,
        is_live and text(counter.used) or reply(counter.used, counter.ends, counter.told)
    end
  end
  if #words > 0 then redis.call('HSET', books.limits_key, unpack(words)) end
  for _, command in ipairs(books.later) do redis.call(unpack(command)) end
end

-- --------------------------------------------------------------------------------------------------- pauses

-- The first one in force among these names; of quarantines alone where only these are asked for.
local function pause_of(books, names, is_quarantine)
  if names == '' then return nil end
  for name in names:gmatch('%S+') do
    local ends, guard = limit_of(books, 'pause:' .. name):match('^(%d+) %d+ (%S+)')
    ends = tonumber(ends)
    if ends == QUARANTINE or (ends and ends > books.now and not is_quarantine) then
      return { target = name, ends = ends, guard = guard }
    end
  end
end

-- For so many ms; 0: until a person lifts it.
local function pause(books, target, ms, guard, why)
  local ends = ms == QUARANTINE and QUARANTINE or books.now + ms
  later(books, 'HSET', books.limits_key, 'pause:' .. target, reply(ends, books.now, guard, why))
  return ends
end

-- --------------------------------------------------------------------------------------------------- guards

-- Whether what is in force is as good: who is in quarantine does not get out, nor is news made, by tripping a guard.
local function is_paused_as_long(books, trigger)
  local found = pause_of(books, trigger.target)
  if not found or found.ends == QUARANTINE then return found ~= nil end
  return trigger.pause ~= QUARANTINE and
    (found.guard == trigger.guard or found.ends >= books.now + trigger.pause)
end

local function trip(books, trigger, call)
  if trigger.pause and is_paused_as_long(books, trigger) then return end
  local ends = trigger.pause and text(pause(books, trigger.target, trigger.pause, trigger.guard, call)) or ''
  emit(books, 'guard.tripped', { 'guard', trigger.guard, 'target', trigger.target, 'count', text(trigger.count),
    'window_ms', text(trigger.window), 'paused_until_ms', ends, 'call', call })
end

-- Whether a log holds so many instants within the window. Those after now are of a clock that was set back since.
local function is_full(books, key, count, window)
  if count == 0 then return true end
  local oldest = tonumber(redis.call('LINDEX', key, -count) or nil)
  return oldest and oldest > books.now - window and oldest <= books.now
end

local function note(books, key, count, window)
  later(books, 'RPUSH', key, text(books.now))
  later(books, 'LTRIM', key, -count, -1)
  later(books, 'PEXPIRE', key, text(window))
end

-- One more of what a guard counts.
local function count_for(books, trigger, key, call)
  if is_full(books, key, trigger.count - 1, trigger.window) then
    later(books, 'DEL', key)
    trip(books, trigger, call)
  else
    note(books, key, trigger.count, trigger.window)
  end
end

-- Numbers that lie close to each other, though others were dialled between them. True where that pauses this ask too.
local function is_in_a_row(books, curbs, call)
  local trigger, digits = curbs.sequence, curbs.digits
  if not trigger or digits == '' then return false end
  local field, number, kept, close = 'near:' .. curbs.prefix, tonumber(digits), {}, 1
  for other, at in (redis.call('HGET', books.limits_key, field) or ''):gmatch('(%d+)@(%d+)') do
    if tonumber(at) > books.now - trigger.window and other ~= digits then
      table.insert(kept, other .. '@' .. at)
      if #other == #digits and math.abs(tonumber(other) - number) <= NEAR_NUMBERS then close = close + 1 end
    end
  end
  if close >= trigger.count then
    later(books, 'HDEL', books.limits_key, field)
    trip(books, trigger, call)
    return trigger.pause ~= nil
  end
  if #kept >= NEAR_KEPT then table.remove(kept, 1) end
  table.insert(kept, digits .. '@' .. text(books.now))
  later(books, 'HSET', books.limits_key, field, table.concat(kept, ' '))
  return false
end

local function is_new_country(books, curbs)
  return (curbs.country or '') ~= '' and redis.call('SISMEMBER', books.countries_key, curbs.country) == 0
end

-- Held ones are told once: they may be dialled on and on. HELD marks them; no country's code begins with it.
local HELD = '?'

local function tell_country(books, curbs, call, is_held)
  if is_held and redis.call('SISMEMBER', books.countries_key, HELD .. curbs.country) == 1 then return end
  later(books, 'SADD', books.countries_key, (is_held and HELD or '') .. curbs.country)
  emit(books, 'guard.first_country', { 'country', curbs.country, 'is_held', flag(is_held), 'call', call })
end

-- ------------------------------------------------------------------------------------------------ judging

local function refusal(reason, limit, used, most)
  return { reason = reason, limit = limit or '', used = used or 0, most = most or 0 }
end

-- A pause of these names; of quarantine alone where calls are live already.
local function judge_pause(books, names, is_live)
  local found = pause_of(books, names, is_live)
  if not found then return nil end
  return refusal(found.ends == QUARANTINE and 'quarantined' or 'paused', found.guard, 0, found.ends)
end

local LOGS_FROM = 14 -- the first key of a rate's log

-- The first rate that is full, where every ask that comes so far counts.
local function judge_rates(books, curbs, keys)
  local at = LOGS_FROM
  for _, check in ipairs(curbs.checks) do
    if check.kind == 'rate' then
      if is_full(books, keys[at], check.most, check.window) then
        return refusal(check.reason, check.limit, check.most, check.most)
      end
      note(books, keys[at], check.most, check.window)
      at = at + 1
    end
  end
end

-- What of an ask is refused before any price is looked at; nil for nothing.
local function judge_ask(books, curbs, keys, call)
  read_limits(books, curbs)
  local refused = judge_pause(books, curbs.pauses, false)
  if refused then return refused end
  if curbs.holds and is_new_country(books, curbs) then
    tell_country(books, curbs, call, true)
    return refusal('new_country', curbs.country)
  end
  refused = judge_rates(books, curbs, keys)
  if refused then
    books.later = {} -- it is no ask of the other rates
    return refused
  end
  if is_in_a_row(books, curbs, call) then return refusal('paused', curbs.sequence.guard) end
  for _, check in ipairs(curbs.checks) do
    local used = check.kind == 'live' and counter_of(books, 'live:' .. check.counter).used
    if used and used >= check.most then return refusal(check.reason, check.limit, used, check.most) end
  end
end

local OF_PERIODS = { money = true, time = true }

local function left_of(books, check)
  local used = OF_PERIODS[check.kind] and counter_of(books, 'used:' .. check.counter).used or 0
  return math.max(0, check.most - used), used
end

local UNBOUND = { money = NEVER, time = NEVER, call_money = NEVER, call_time = NEVER }

-- How much more money and time the checks leave to a call, and how much it may have in all.
local function room_of(books, curbs)
  if #curbs.checks == 0 then return UNBOUND end
  local room = { money = NEVER, time = NEVER, call_money = NEVER, call_time = NEVER }
  for _, check in ipairs(curbs.checks) do
    if room[check.kind] then room[check.kind] = math.min(room[check.kind], (left_of(books, check))) end
  end
  return room
end

local function is_within(room, call, seconds, price, paid)
  return price - paid <= room.money and price <= room.call_money and seconds - call.granted <= room.time and
    seconds <= room.call_time
end

-- Why a rung cannot be granted: the check that it is beyond, or credit.
local function judge_rung(books, curbs, call, seconds, price, paid)
  local asked = { money = price - paid, time = seconds - call.granted, call_money = price, call_time = seconds }
  for _, check in ipairs(curbs.checks) do
    local left, used = left_of(books, check)
    if asked[check.kind] and asked[check.kind] > left then return refusal(check.reason, check.limit, used, check.most) end
  end
  return refusal('no_credit')
end

-- ----------------------------------------------------------------------------------------------- counting

local TAG = { live = 'l', money = 'm', time = 't' }

local function tags_of(checks)
  local tags = {}
  for _, check in ipairs(checks) do
    if TAG[check.kind] then table.insert(tags, TAG[check.kind] .. ':' .. check.counter) end
  end
  return table.concat(tags, ' ')
end

-- The live ones of before, and the periods of now.
local function renewed_tags(tags, checks)
  local words = {}
  for word in tags:gmatch('l:%S+') do table.insert(words, word) end
  local periods = tags_of(checks)
  if periods ~= '' then table.insert(words, periods) end
  return table.concat(words, ' ')
end

-- Adds to what the tags count: live calls, micro-units, seconds.
local function add_by_tags(books, tags, live, micros, seconds)
  if tags == '' then return end
  for kind, counter in tags:gmatch('(%a):(%S+)') do
    local amount = kind == 'l' and live or kind == 'm' and micros or seconds
    if amount ~= 0 then add_to(books, (kind == 'l' and 'live:' or 'used:') .. counter, amount) end
  end
end

-- What a step granted, by its checks: each period knows its end, and tells once of a bound that it is nearly used up.
local function count_grant(books, curbs, call, micros, seconds)
  for _, check in ipairs(curbs.checks) do
    if OF_PERIODS[check.kind] then
      local counter = add_to(books, 'used:' .. check.counter, check.kind == 'money' and micros or seconds)
      counter.ends = check.window
      if check.most > counter.told and counter.used >= check.most * SOON then
        counter.told = check.most
        emit(books, 'limit.warning', { 'limit', check.limit, 'unit', check.kind, 'used', text(counter.used),
          'most', text(check.most), 'until_ms', text(check.window), 'call', call })
      end
    end
  end
end

-- ------------------------------------------------------------------------------------------------ refusals

local REFUSALS_KEPT, PAUSED_KEPT = 10000, 1000
local OF_PAUSES = { paused = true, quarantined = true }
local UNCOUNTED = { no_credit = true, paused = true, quarantined = true, account_closed = true }

-- Kept for whoever asks why; and counted, where a guard counts them. Those of who is paused have a place of their own:
-- a flood does not push out what began it.
local function note_refusal(books, curbs, id, refused, meta)
  local key, kept = books.refusals_key, REFUSALS_KEPT
  if OF_PAUSES[refused.reason] then key, kept = books.paused_key, PAUSED_KEPT end
  later(books, 'XADD', key, 'MAXLEN', '~', kept, '*', 'call', id, 'at_ms', text(books.now), 'reason', refused.reason,
    'limit', refused.limit, 'used', text(refused.used), 'most', text(refused.most), 'meta', meta)
  if curbs.refusals and not UNCOUNTED[refused.reason] then
    count_for(books, curbs.refusals, books.refused_log, id)
  end
end

local function refused_reply(refused, has_outbox)
  return reply('refused', refused.reason, flag(has_outbox), refused.limit == '' and '-' or refused.limit, refused.used,
    refused.most)
end
