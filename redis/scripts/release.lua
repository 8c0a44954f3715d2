-- Gives a lease up, if the record is still this lease.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- Reply: 1 if the lease stood, 0 if it was gone
if not leased(ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
