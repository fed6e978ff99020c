-- ============================================================================================== mail
-- Events wait for the webhook in the outbox, and leave it when that has them. Those who are told by mail must neither wait
-- for the webhook nor lose what it was quick to take: so each event is copied here first, once for each address.

local Mail = {}

Mail.MOST_TAKEN = 100  -- events at a time: the server does nothing else meanwhile
Mail.MOST_WAITING = 1000

-- KEYS: outbox, mail, mailed (the id of the last event that was copied). Addresses. How many mails wait.
function Mail.take(keys, args)
  local mailed = redis.call('GET', keys[3])
  local events = redis.call('XRANGE', keys[1], mailed and '(' .. mailed or '-', '+', 'COUNT', Mail.MOST_TAKEN)
  for _, event in ipairs(events) do
    local is_again = event[2][#event[2] - 1] == 'again' -- a dead letter: its mail went out when it was new
    for _, address in ipairs(is_again and {} or args) do
      redis.call('XADD', keys[2], 'MAXLEN', Mail.MOST_WAITING, '*', 'to', address, unpack(event[2]))
    end
    redis.call('SET', keys[3], event[1])
  end
  return { redis.call('XLEN', keys[2]), #events }
end
