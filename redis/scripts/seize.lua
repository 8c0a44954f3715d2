-- Takes the lease of a key in place of any record but a tombstone.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease, ms
-- Reply: {1, Redis' time in ms} if the lease was taken; else {0}
if guards() then return {0} end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then
  -- Out of memory: what stood there must go all the same.
  redis.call('DEL', KEYS[1])
  return set
end
return {1, now()}
