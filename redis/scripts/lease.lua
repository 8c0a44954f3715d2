-- Takes the lease of a key that has no record, or a record that may be replaced.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease, ms
-- ARGV[3]  the version of the record that may be replaced: its length, a colon, and its
--   first bytes; '' for none
-- Reply: {1, Redis' time in ms} if the lease was taken; else {0, record, PTTL in ms}
--
-- A client that lost the reply may send the script again. The script then grants the
-- client's own lease again; otherwise the client would wait for itself.
local start = head(72)
if start ~= '' and start ~= ARGV[1] and not (ARGV[3] ~= '' and is(ARGV[3], start)) then
  return {0, redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then
  -- Out of memory: what was to be replaced goes all the same.
  redis.call('DEL', KEYS[1])
  return set
end
return {1, now()}
