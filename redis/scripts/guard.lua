-- Puts a guard on a key: adds a token to the tombstone there, or replaces any other record
-- by a tombstone with the token. A tombstone of another version is replaced by one that
-- also has a token of zeros, which nobody removes.
-- KEYS[1]  the key
-- ARGV[1]  the token of the guard
-- ARGV[2]  the TTL, ms; a tombstone that stands longer keeps its TTL
-- Reply: 1, or an error, after which there is no record
local tokens, ttl = guards(), tonumber(ARGV[2])
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
