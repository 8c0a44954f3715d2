-- Begins every script.
-- head returns the first bytes of the record at the key, and no more than there are: ''
-- if there is no record, or something of another type, which is nobody's record. Any
-- other error ends the script. The cost of GETRANGE does not grow with the record.
local function head(length)
  local bytes = redis.pcall('GETRANGE', KEYS[1], 0, length - 1)
  if type(bytes) == 'string' then return bytes end
  if string.find(bytes.err, 'WRONGTYPE', 1, true) then return '' end
  return redis.call('GETRANGE', KEYS[1], 0, length - 1)
end
-- leased reports whether the record is this lease. One byte more is compared, so that
-- the length counts.
local function leased(lease) return head(#lease + 1) == lease end
-- bans returns the tokens of the tombstone at the key, 16 bytes each and one after the
-- other; nil for another record. In one of another version, whose form nobody here knows,
-- it finds a single ban, whose token is of zeros: no call of this release lifts that.
local function bans()
  local start = head(3)
  if #start < 2 or string.sub(start, 1, 1) ~= 'T' then return nil end
  local version = string.byte(start, 2)
  if version == 0 or version > 31 then return nil end
  if version ~= 2 then return string.rep('\0', 16) end
  if #start < 3 then return nil end
  local size = 3 + 16 * string.byte(start, 3)
  local bytes = head(size + 1)
  if #bytes ~= size then return nil end
  return string.sub(bytes, 4)
end
-- tombstone makes one of tokens.
local function tombstone(tokens)
  return 'T\2' .. string.char(#tokens / 16) .. tokens
end
-- now returns Redis' time, in ms.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
