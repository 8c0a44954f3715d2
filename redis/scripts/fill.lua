-- Replaces a lease, or a value that has the lease, with a value, if the lease still stands.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the value record
-- ARGV[3]  the TTL of the value, ms; 0 for no value
-- ARGV[4]  the deadline of the value, on Redis' clock in ms: the TTL ends there at latest
-- ARGV[5]  the window of the value, ms: the record is kept for as long after the TTL
-- Reply: {0} if the lease is gone; {1} if the value stands, or no record, because the TTL is 0
--   or the deadline has passed;
--   {1, error} if the lease was there and the value could not be stored: then neither the
--   lease nor the value stands
if not leased(ARGV[1]) then return {0} end
local ttl = math.min(tonumber(ARGV[3]), tonumber(ARGV[4]) - now())
if ttl < 1 then
  redis.call('DEL', KEYS[1])
  return {1}
end
local set = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', ttl + tonumber(ARGV[5])))
if set.err then
  redis.call('DEL', KEYS[1])
  return {1, set.err}
end
return {1}
