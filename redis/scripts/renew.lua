-- Renews a lease, if the record is still this lease.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease from now, ms
-- Reply: 1 if the lease stands, 0 if it is gone
if not leased(ARGV[1]) then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
