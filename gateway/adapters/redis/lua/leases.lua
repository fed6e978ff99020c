-- ============================================================================================== leases
--[[
What one gateway does and no other: each switch, the archive. A name (`switch:pbx1`) is leased for as long as its owner
is heard of, so a gateway writes one field a turn however many it owns.

KEYS: members, leases; both are hashes and carry one hash tag.
  members  gateway -> LIFE TILL TTL ABOUT  its process, until when it counts as alive, for how long that was said, what
                                           it tells of itself
  leases   name -> OWNER LIFE FENCE HEIR TILL   an owner of "-": free, and kept for HEIR until TILL

The fence rises with each change of the owner, and is never below the server's clock in ms: a fail-over that loses a
lease cannot give one out twice, and neither can a server that was emptied.
]]

local Leases = {
  FREE = '- - 0 - 0',
  FORGOTTEN_MS = 86400000, -- a gateway not heard of for a day
}

function Leases.members(key)
  local members, all = {}, redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local life, till, ttl, about = all[i + 1]:match('^(%S+) (%d+) (%d+) (.*)$')
    members[all[i]] = { life = life, till = tonumber(till) or 0, ttl = tonumber(ttl) or 0, about = about or '' }
  end
  return members
end

function Leases.read(words)
  local owner, life, fence, heir, till = (words or Leases.FREE):match('^(%S+) (%S+) (%d+) (%S+) (%d+)$')
  return { owner = owner or '-', life = life or '-', fence = tonumber(fence) or 0, heir = heir or '-',
    till = tonumber(till) or 0 }
end

function Leases.write(key, name, lease)
  redis.call('HSET', key, name, reply(lease.owner, lease.life, lease.fence, lease.heir, lease.till))
end

-- A clock that fell (a replica's, mostly) would have the dead live on: nobody lives for longer than was said.
function Leases.bound(key, members, now)
  for name, member in pairs(members) do
    if member.till > now + member.ttl then
      member.till = now + member.ttl
      redis.call('HSET', key, name, reply(member.life, member.till, member.ttl, member.about))
    end
  end
end

-- How long the owner keeps it without being heard of again; 0: anybody may take it.
function Leases.left_ms(lease, members, now, patience_ms)
  local owner = members[lease.owner]
  if not owner or owner.life ~= lease.life then return 0 end
  return math.max(0, owner.till + patience_ms - now)
end

function Leases.told(members, now, rows)
  local alive = {}
  for name, member in pairs(members) do
    if member.till > now then table.insert(alive, { name, text(member.till - now), member.about }) end
  end
  return { text(now), alive, rows }
end

-- What a gateway wishes of one name: own (keep it, or take it where it is free), look, give. Whether it has it then.
function Leases.wish(keys, me, name, lease, wish, left_ms, now, members)
  local is_mine = lease.owner == me.name and lease.life == me.life
  if wish.word == 'give' and is_mine then
    lease.owner, lease.life, lease.heir, lease.till = '-', '-', wish.heir, now + me.ttl_ms
    Leases.write(keys[2], name, lease)
    redis.pcall('PUBLISH', 'callgate:leases', name) -- who may not hear it sees it at its next turn
    return false
  end
  local heir = members[lease.heir]
  local is_kept = lease.owner == '-' and lease.heir ~= me.name and lease.till > now and heir and heir.till > now
  if wish.word == 'own' and not is_mine and left_ms == 0 and not is_kept then
    lease.owner, lease.life, lease.heir, lease.till = me.name, me.life, '-', 0
    lease.fence = math.max(lease.fence + 1, now)
    Leases.write(keys[2], name, lease)
    return true
  end
  return is_mine
end

-- A gateway, its process, ms until it counts as dead, is it its first turn (0 or 1), about it; then of each name: the
-- name, a wish, ms for which its owner is waited for beyond its death, whom it is given to.
-- A process under the name of another that lives is told so, and has nothing; on its first turn it takes the name over,
-- since the one before it is mostly dead.
function Leases.turn(keys, args)
  local now, me = now_ms(), { name = args[1], life = args[2], ttl_ms = whole(args[3], 0) }
  local members = Leases.members(keys[1])
  local before = members[me.name]
  if before and before.life ~= me.life and before.till > now and args[4] ~= '1' then return { 'twin' } end
  Leases.bound(keys[1], members, now)
  for name, member in pairs(members) do
    if now - member.till > Leases.FORGOTTEN_MS then redis.call('HDEL', keys[1], name) end
  end
  members[me.name] = { life = me.life, till = now + me.ttl_ms, ttl = me.ttl_ms, about = args[5] }
  redis.call('HSET', keys[1], me.name, reply(me.life, now + me.ttl_ms, me.ttl_ms, args[5]))
  local rows = {}
  for at = 6, #args, 4 do
    local name, wish = args[at], { word = args[at + 1], heir = args[at + 3] }
    local patience_ms, lease = whole(args[at + 2], 0), Leases.read(redis.call('HGET', keys[2], name))
    local is_mine = Leases.wish(keys, me, name, lease, wish, Leases.left_ms(lease, members, now, patience_ms), now,
      members)
    local heir = lease.till > now and lease.heir or '-'
    local left_ms = Leases.left_ms(lease, members, now, patience_ms)
    table.insert(rows, { name, lease.owner, flag(is_mine), text(lease.fence), text(left_ms), heir })
  end
  return Leases.told(members, now, rows)
end

-- All that there is, for a person.
function Leases.look(keys)
  local now, members, rows = now_ms(), Leases.members(keys[1]), {}
  local all = redis.call('HGETALL', keys[2])
  for i = 1, #all, 2 do
    local lease = Leases.read(all[i + 1])
    local heir = lease.till > now and lease.heir or '-'
    local left_ms = Leases.left_ms(lease, members, now, 0)
    table.insert(rows, { all[i], lease.owner, '0', text(lease.fence), text(left_ms), heir })
  end
  return Leases.told(members, now, rows)
end

-- A step that its gateway decided on as the owner of the call's switch ends with the word #FENCE. The call keeps the
-- largest; one of a former owner, which was stopped, or was cut off and comes back, changes nothing. What has happened
-- (answer, settle) has no fence: it is true whoever heard it, and the numbers of the steps keep it in its place.
-- The step judges the fence as it reads the call, and writes it with the call; here where it writes none.
function Leases.fenced(step)
  return function(keys, args)
    local number = args[#args]:match('^#(%d+)$')
    if not number then return step(keys, args) end
    args[#args] = nil
    local fence = { number = number + 0 }
    local result = step(keys, args, fence)
    if fence.known and fence.number > fence.known and redis.call('EXISTS', keys[6]) == 1 then
      redis.call('HSET', keys[6], risen(fence))
    end
    return result
  end
end

-- call: it is the new owner's; all else stays as it is.
function Leases.claim(keys, _, fence)
  if fence then judge_fence(fence, redis.call('HGET', keys[6], 'fence')) end
  return reply('done')
end
