-- Takes the lease of a key whatever its record, unless that is a tombstone.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  its TTL, ms
-- Reply: {1, Redis' time in ms} if the lease was taken; else {0}
--
-- A tombstone has 18 bytes, but for those of versions to come.
local head = redis.pcall('GETRANGE', KEYS[1], 0, 1)
if type(head) == 'string' and string.sub(head, 1, 1) == 'T' then
  if head ~= 'T\1' or redis.call('STRLEN', KEYS[1]) == 18 then return {0} end
end
local set = redis.pcall('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if set.err then
  -- Out of memory: what stood there must go all the same.
  redis.call('DEL', KEYS[1])
  return set
end
local time = redis.call('TIME')
return {1, time[1] * 1000 + math.floor(time[2] / 1000)}
