-- Puts a tombstone at a key whatever its record, or adds a ban to the one there. One of
-- another version is replaced, by one with a ban that nobody lifts.
-- KEYS[1]  the key
-- ARGV[1]  the token of the ban
-- ARGV[2]  its TTL, ms; a tombstone that stands longer still does
-- Reply: 1, or an error, after which there is no record
local tokens, ttl = bans(), tonumber(ARGV[2])
if tokens then ttl = math.max(ttl, redis.call('PTTL', KEYS[1])) end
tokens = (tokens or '') .. ARGV[1]
if #tokens > 255 * 16 then tokens = string.sub(tokens, 17) end
local set = redis.pcall('SET', KEYS[1], tombstone(tokens), 'PX', string.format('%.0f', ttl))
if set.err then
  -- Out of memory: what stood there must go all the same.
  redis.call('DEL', KEYS[1])
  return set
end
return 1
