-- Replaces a lease with a value, if it is still this lease.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the value record
-- ARGV[3]  its TTL, ms
-- ARGV[4]  its deadline, on Redis' clock in ms: the TTL does not pass it
-- Reply: {0} if the lease is gone; {1} if the value stands, or has passed its
--   deadline already; {1, error} if the lease was there and the value could not
--   be stored: now there is neither
if not leased(ARGV[1]) then return {0} end
local ttl = math.min(tonumber(ARGV[3]), tonumber(ARGV[4]) - now())
if ttl < 1 then
  redis.call('DEL', KEYS[1])
  return {1}
end
local set = redis.pcall('SET', KEYS[1], ARGV[2], 'PX', string.format('%.0f', ttl))
if set.err then
  redis.call('DEL', KEYS[1])
  return {1, set.err}
end
return {1}
