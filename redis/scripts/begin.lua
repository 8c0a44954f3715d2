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
-- number returns the big-endian number in the bytes from first to last.
local function number(bytes, first, last)
  local n = 0
  for i = first, last do n = n * 256 + string.byte(bytes, i) end
  return n
end
-- bytes returns a number as 8 bytes, big-endian.
local function bytes(n)
  local s = ''
  for _ = 1, 8 do
    s = string.char(n % 256) .. s
    n = math.floor(n / 256)
  end
  return s
end
-- replaceable reports whether a record that starts like this is a value with a place for a
-- lease: bytes 56 to 71 are the token, 72 to 79 the end of the lease on Redis' clock, in ms.
-- All of them are 0 if there is no lease.
local function replaceable(start)
  return #start >= 80 and string.sub(start, 1, 2) == 'V\2' and math.floor(string.byte(start, 3) / 2) % 2 == 1
end
-- is reports whether a record that starts like this has the version: its length, a colon, and
-- as many of its first bytes as the version has.
local function is(version, start)
  local colon = string.find(version, ':', 1, true)
  return colon and version == redis.call('STRLEN', KEYS[1]) .. ':' .. string.sub(start, 1, #version - colon)
end
-- leased returns 'L' if the record is this lease, and 'V' if it is a value with this lease.
-- Otherwise it returns nil.
local function leased(lease)
  local start = head(80)
  if start == lease then return 'L' end
  if replaceable(start) and string.sub(start, 57, 72) == string.sub(lease, 3) then return 'V' end
  return nil
end
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
