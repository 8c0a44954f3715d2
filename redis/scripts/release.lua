-- Gives a lease up, if the lease still stands. A value that has the lease stays.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- Reply: 1 if the lease stood, 0 if it was gone
local kind = leased(ARGV[1])
if not kind then return 0 end
if kind == 'L' then return redis.call('DEL', KEYS[1]) end
redis.call('SETRANGE', KEYS[1], 56, string.rep('\0', 24))
return 1
