-- Records where a tag was last invalidated.
-- KEYS[1]  the key of the tag
-- ARGV[1]  the position, two decimal numbers with a dash between them
-- ARGV[2]  the TTL, ms; a record that stands longer still does
-- ARGV[3]  '1' if the tag was invalidated there, so that the record is to hold this
--   position or a later one; '0' to leave a record that there is as it is
-- Reply: 1, or an error, after which there is no record: then its values are misses
local function parse(text)
  local time, seq = string.match(text, '^P\2(%d+)-(%d+)$')
  return tonumber(time), tonumber(seq)
end
local time, seq = parse(record())
local newTime, newSeq = parse('P\2' .. ARGV[1])
local later = time and (newTime > time or (newTime == time and newSeq > seq))
local ttl = math.max(tonumber(ARGV[2]), redis.call('PTTL', KEYS[1]))
if time and not (later and ARGV[3] == '1') then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl))
  return 1
end
local set = redis.pcall('SET', KEYS[1], 'P\2' .. ARGV[1], 'PX', string.format('%.0f', ttl))
if set.err then
  redis.call('DEL', KEYS[1])
  return set
end
return 1
