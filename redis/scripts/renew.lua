-- Renews a lease, if the lease still stands.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease from now, ms
-- Reply: 1 if the lease stands, 0 if it is gone
local kind = leased(ARGV[1])
if not kind then return 0 end
if kind == 'V' then
  redis.call('SETRANGE', KEYS[1], 64, bytes(now() + tonumber(ARGV[2])))
  return 1
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
