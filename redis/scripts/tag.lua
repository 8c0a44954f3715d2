-- Records the position at which a tag was last invalidated.
-- KEYS[1]  the key of the tag
-- ARGV[1]  the position, two decimal numbers with a dash between them; '' for no record
-- ARGV[2]  the TTL, ms; a record that stands longer keeps its TTL
-- ARGV[3]  the record that may be replaced. A position: a record of that position only. '':
--   no record. 'earlier': no record, an earlier position, or the position that is never
-- Reply: 1, or an error, after which there is no record: values with the tag are misses then
local most = '18446744073709551615' -- of a position's numbers
-- position returns bytes as one, and nil if they are not.
local function position(bytes)
  local time, seq = string.match(bytes, '^P\2(%d+)%-(%d+)$')
  for _, number in ipairs({time, seq}) do
    if #number > #most or (#number == #most and number > most) then return nil end
  end
  return time and time .. '-' .. seq
end
-- never says whether a position is behind all that there will be.
local function never(position) return string.find(position, most .. '-', 1, true) == 1 end
local function earlier(a, b)
  local time, seq = string.match(a, '(%d+)-(%d+)')
  local laterTime, laterSeq = string.match(b, '(%d+)-(%d+)')
  time, seq, laterTime, laterSeq = tonumber(time), tonumber(seq), tonumber(laterTime), tonumber(laterSeq)
  return time < laterTime or (time == laterTime and seq < laterSeq)
end
local current = position(head(64)) -- which has fewer
local may = current == ARGV[3] or (not current and (ARGV[3] == '' or ARGV[3] == 'earlier'))
if current and ARGV[3] == 'earlier' then may = never(current) or earlier(current, ARGV[1]) end
local ttl = tonumber(ARGV[2])
if current and not never(current) then ttl = math.max(ttl, redis.call('PTTL', KEYS[1])) end
if not may then
  if current and not never(current) then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl)) end
  return 1
end
if ARGV[1] == '' then return redis.call('DEL', KEYS[1]) end
local set = redis.pcall('SET', KEYS[1], 'P\2' .. ARGV[1], 'PX', string.format('%.0f', ttl))
if set.err then
  redis.call('DEL', KEYS[1])
  return set
end
return 1
