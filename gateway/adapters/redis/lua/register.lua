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
register('reserve', Leases.fenced(reserve), {})
register('extend', Leases.fenced(extend), {})
register('balance', balance, { 'allow-oom' })
register('open', open, { 'allow-oom' })
register('close', close, { 'allow-oom' })
register('reopen', reopen, { 'allow-oom' })
register('topup', topup, { 'allow-oom' })
register('reverse', reverse, { 'allow-oom' })
register('recharge_set', Recharge.set, { 'allow-oom' })
register('recharge_ask', Recharge.ask, { 'allow-oom' })
register('recharge_leaving', Recharge.leaving, { 'allow-oom' })
register('recharge_returned', Recharge.returned, { 'allow-oom' })
register('recharge_answer', Recharge.answer, { 'allow-oom' })
register('tend', tend, { 'allow-oom' })
register('refuse', refuse, { 'allow-oom' })
register('restrict', restrict, { 'allow-oom' })
register('archived', archived, { 'allow-oom' })
register('answer', answer, { 'allow-oom' })
register('shrink', Leases.fenced(shrink), { 'allow-oom' })
register('settle', settle, { 'allow-oom' })
register('release', Leases.fenced(release), { 'allow-oom' })
register('doubt', doubt, { 'allow-oom' })
register('claim', Leases.fenced(Leases.claim), { 'allow-oom' })
register('register', Leases.fenced(register_again), { 'allow-oom' })
register('mail_take', Mail.take, { 'allow-oom' })
register('live', live, { 'no-writes' })
register('expired', expired, { 'no-writes' })
register('outbox_claim', Outbox.claim, { 'allow-oom' })
register('outbox_done', Outbox.done, { 'allow-oom' })
register('outbox_failed', Outbox.failed, { 'allow-oom' })
register('outbox_gone', Outbox.gone, { 'allow-oom' })
register('outbox_give_up', Outbox.give_up, { 'allow-oom' })
register('outbox_retry', Outbox.retry, { 'allow-oom' })
register('outbox_look', Outbox.look, { 'no-writes' })
register('lease_turn', Leases.turn, { 'allow-oom' })
register('lease_look', Leases.look, { 'no-writes' })
