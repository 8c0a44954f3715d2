-- Every script begins with this file.
--
-- head returns the first bytes of the record at the key, at most length bytes. It returns
-- '' if there is no record, or if the key is not a string: such a key is foreign. Any other
-- error ends the script. The cost of GETRANGE does not grow with the record.
local function head(length)
  local bytes = redis.pcall('GETRANGE', KEYS[1], 0, length - 1)
  if type(bytes) == 'string' then return bytes end
  if string.find(bytes.err, 'WRONGTYPE', 1, true) then return '' end
  return redis.call('GETRANGE', KEYS[1], 0, length - 1)
end
-- leased reports whether the record is this lease. It compares one more byte than the lease
-- has, so that the length counts.
local function leased(lease) return head(#lease + 1) == lease end
-- guards returns the tokens of the tombstone at the key, 16 bytes each, one after the other.
-- It returns nil for another record. The form of a tombstone of another version is unknown:
-- for such a tombstone guards returns one token of zeros, which no call of this release
-- removes.
local function guards()
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
-- tombstone returns a tombstone with tokens.
local function tombstone(tokens)
  return 'T\2' .. string.char(#tokens / 16) .. tokens
end
-- now returns Redis' time, in ms.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
