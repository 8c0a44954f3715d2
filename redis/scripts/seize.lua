-- Takes the lease of a key whatever its record, unless that is a tombstone.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  its TTL, ms
-- Reply: {1, Redis' time in ms} if the lease was taken; else {0}
if bans() then return {0} end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then
  -- Out of memory: what stood there must go all the same.
  redis.call('DEL', KEYS[1])
  return set
end
return {1, now()}
