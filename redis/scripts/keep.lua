-- Keeps a value that has this lease for another TTL, if the lease still stands. Only the
-- first bytes of the value are written, those before its tags.
-- KEYS[1]  the key
-- ARGV[1]  the lease record
-- ARGV[2]  the first bytes, with no lease
-- ARGV[3], ARGV[4], ARGV[5]  as for fill.lua
-- Reply: as of fill.lua; or {1, 0} if the value is gone and the lease stands: then nothing
--   has changed
local kind = leased(ARGV[1])
if not kind then return {0} end
if kind == 'L' then return {1, 0} end
local ttl = math.min(tonumber(ARGV[3]), tonumber(ARGV[4]) - now())
if ttl < 1 then
  redis.call('DEL', KEYS[1])
  return {1}
end
local set = redis.pcall('SETRANGE', KEYS[1], 0, ARGV[2])
if type(set) == 'table' and set.err then
  redis.call('DEL', KEYS[1])
  return {1, set.err}
end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl + tonumber(ARGV[5])))
return {1}
