-- ================================================================================================== calls
--[[
A call's states
  reserved -> answered -> settled                      the common life
  reserved -> in_doubt -> answered|settled|released    its validity ran out and nobody answered: held, not charged
  reserved -> released                                 a tombstone; so is the release of a call that never was
  answered -> estimated -> settled                     an estimate is charged; one settle replaces it
  refused                                              kept for a minute, so that a repeated ask hears the same
settled, released and estimated hold nothing; they leave the live set and expire when ids are forgotten. An estimate
keeps its figures and its meta: they price its correction.
]]

local REFUSAL_KEPT_MS = 60000
local CALL = { 'state', 'step', 'done', 'reply', 'granted', 'charged', 'held', 'parts', 'included', 'pool', 'leg',
               'answered_at', 'valid_until', 'cap', 'included_cap' }
local FIGURES = { 'step', 'granted', 'charged', 'held', 'included', 'answered_at', 'valid_until', 'cap',
                  'included_cap' }
local STORED = { 'state', 'step', 'granted', 'charged', 'held', 'leg', 'answered_at', 'valid_until', 'included', 'pool' }

local function read_call(books)
  local call = read(books.call_key, CALL)
  for _, field in ipairs(FIGURES) do call[field] = tonumber(call[field] or 0) end
  call.parts = parts_of(call.parts)
  call.pool = call.pool or ''
  return call
end

local function known_call(books)
  local call = read_call(books)
  if not call.state or call.state == 'refused' then
    reject('unknown_call', 'nothing was reserved for this call, or it is older than ids are kept')
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

local function write_call(books, id, call, ...)
  redis.call('HSET', books.call_key, 'state', call.state, 'step', call.step, 'granted', call.granted,
    'charged', call.charged, 'held', call.held, 'parts', parts_text(call.parts), 'included', call.included,
    'pool', call.pool, 'valid_until', call.valid_until, ...)
  redis.call('ZADD', books.live_key, call.valid_until, id)
  write_limits(books)
end

-- The meta's first line has the tags by which limits count the call; the rest is the gateway's own.
local function tags_in(meta)
  return (meta or ''):match('^[^\n]*')
end

local function read_tags(books)
  return tags_in(redis.call('GET', books.meta_key) or '')
end

local function write_meta(books, tags, meta)
  redis.call('SET', books.meta_key, tags .. '\n' .. meta)
end

-- A closed call shrinks to what a repeat needs.
local function close_call(books, id, kept_ms, ...)
  redis.call('ZREM', books.live_key, id)
  redis.call('DEL', books.call_key, books.meta_key)
  redis.call('HSET', books.call_key, ...)
  redis.call('PEXPIRE', books.call_key, kept_ms)
  write_limits(books)
end

-- An estimated one keeps its leg and its meta besides, so that a late settle or a CDR can correct it.
local function close_estimated(books, id, kept_ms, call, ...)
  write_call(books, id, call, ...)
  redis.call('ZREM', books.live_key, id)
  redis.call('PEXPIRE', books.call_key, kept_ms)
  redis.call('PEXPIRE', books.meta_key, kept_ms)
end
