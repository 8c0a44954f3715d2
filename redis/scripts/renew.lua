-- Renews a lease, if the lease still stands. A value that may end before the next renewal, which
-- comes after a third of the TTL, is replaced by a lease record.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease from now, ms
-- Reply: 1 if the lease stands, 0 if it is gone
local kind = leased(ARGV[1])
if not kind then return 0 end
if kind == 'V' and redis.call('PTTL', KEYS[1]) <= tonumber(ARGV[2]) / 2 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) -- the value ends, and the lease must not
  return 1
end
if kind == 'V' then
  redis.call('SETRANGE', KEYS[1], 72, bytes(now() + tonumber(ARGV[2])))
  return 1
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
