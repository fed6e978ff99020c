#!lua name=callgate_2
--[[
The books of callgate, version 2: one function a step, each of them atomic. The files of this folder are one library,
in the order words, books, lots, limits, offers, calls, steps, account, forecast, recharge, outbox, mail, leases, register.
The README beside them has the rules in prose.

Rules
  * Money is a whole number of micro-units. Lua's numbers are doubles, so nothing beyond 2^53 - 1 is let in, neither
    an amount nor a sum. redis.call() writes such numbers out in full; what becomes part of a text goes through
    text() or a form(), never through tostring() (10^14 would become 1e+14). A word that is a number is one to
    arithmetic, not to a comparison.
  * A step looks, judges and moves money in memory; write() puts all of it into Redis at once, last. reject() is only
    called before write(), because what a function has written stays written when it fails later.
  * A step is known by its call and its name ("reserve", "extend:3", "settle:4"). The call keeps the name of its last
    step and the reply to it; a repeat gets that reply and changes nothing, an older step is `stale_step`.
  * move() is the only place where money moves, between accounts that always add up to 0, and each move is journalled.
  * Lua allows a chunk 200 local variables, and these files are one chunk: a new file puts its functions into one table
    (Recharge). So a step may also call what stands in a later file.
  * All keys are in KEYS and carry the tenant's hash tag. TIME is the only clock.
  * A change to this library that a gateway can see changes the number in its name, here and in VERSION.

Replies of the steps are words in one string: what happened first, then its figures. "rejected CODE SENTENCE" is a
step that should not have been sent.
]]

local VERSION = 2
local MAX = 2 ^ 53 - 1
local NEVER = 1 / 0 -- a library may not reach for math while it is loaded

local function reject(code, sentence)
  error({ code = code, sentence = sentence })
end

local function text(number)
  return string.format('%.0f', number)
end

-- '%d' costs less than half of '%.0f'; it takes a C long, which is not everywhere as wide as MAX.
local WHOLE = ('%d'):format(MAX) == '9007199254740991' and '%d' or '%.0f'

-- Words with a place for a whole number at each #.
local function form(words)
  return (words:gsub('#', { ['#'] = WHOLE }))
end

local function whole(word, least)
  if word == '0' and least <= 0 then return 0 end -- as many are
  local number = #word <= 17 and word:find('^-?%d+$') and word + 0
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
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function read(key, fields)
  local values = redis.call('HMGET', key, unpack(fields))
  local record = {}
  for i, field in ipairs(fields) do
    record[field] = values[i] or nil
  end
  return record
end
