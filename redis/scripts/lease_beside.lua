-- Takes the lease of a value that has a place for a lease. The value stays.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the TTL of the lease, ms
-- ARGV[3]  the version of the value: its length, a colon, and its first 56 bytes
-- Reply: {1, Redis' time in ms} if the lease was taken; {0} if another load has it; else
--   {0, record, PTTL in ms}, with an empty record if there is none
--
-- A client that lost the reply may send the script again. The script then grants the
-- client's own lease again.
local start, token = head(80), string.sub(ARGV[1], 3)
if start == '' then return {0, '', -2} end
if not (replaceable(start) and is(ARGV[3], start)) then
  return {0, redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
end
local time, holder = now(), string.sub(start, 57, 72)
if holder ~= token and number(start, 73, 80) > time then return {0} end
redis.call('SETRANGE', KEYS[1], 56, token .. bytes(time + tonumber(ARGV[2])))
return {1, time}
