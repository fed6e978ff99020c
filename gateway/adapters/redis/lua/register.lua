-- =========================================================================================== registration

-- A rejection is an answer; anything else that was raised is a fault and goes on as an error reply.
local function register(name, step, flags)
  redis.register_function({
    function_name = 'callgate_' .. VERSION .. '_' .. name,
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
register('balance', balance, { 'allow-oom' })
register('open', open, { 'allow-oom' })
register('close', close, { 'allow-oom' })
register('reopen', reopen, { 'allow-oom' })
register('topup', topup, { 'allow-oom' })
register('reverse', reverse, { 'allow-oom' })
register('recharge_set', Recharge.set, { 'allow-oom' })
register('recharge_ask', Recharge.ask, { 'allow-oom' })
register('recharge_answer', Recharge.answer, { 'allow-oom' })
register('tend', tend, { 'allow-oom' })
register('refuse', refuse, { 'allow-oom' })
register('restrict', restrict, { 'allow-oom' })
register('archived', archived, { 'allow-oom' })
register('answer', answer, { 'allow-oom' })
register('shrink', shrink, { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('release', release, { 'allow-oom' })
register('doubt', doubt, { 'allow-oom' })
register('register', register_again, { 'allow-oom' })
register('live', live, { 'no-writes' })
register('expired', expired, { 'no-writes' })
