-- Takes the lease of a key that has no record, or the record that may be replaced.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  its TTL, ms
-- ARGV[3]  the record that may be replaced; '' for none
-- Reply: {1, Redis' time in ms} if the lease was taken; else {0, record, PTTL in ms}
--
-- A client that lost the reply may send the script again: its own lease is granted
-- again, or it would wait for itself.
local old = record()
if old ~= '' and old ~= ARGV[3] and old ~= ARGV[1] then
  return {0, old, redis.call('PTTL', KEYS[1])}
end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then
  -- Out of memory: what was to be replaced goes all the same.
  redis.call('DEL', KEYS[1])
  return set
end
return {1, now()}
