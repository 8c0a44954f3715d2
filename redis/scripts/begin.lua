-- Begins every script.
-- record returns what stands at the key: '' if nothing does, or something of
-- another type, which is nobody's record. Any other error ends the script. It
-- reads with GET, so that whoever may take a lease may also give it up.
local function record()
  local bytes = redis.pcall('GET', KEYS[1])
  if not bytes then return '' end
  if type(bytes) == 'string' then return bytes end
  if string.find(bytes.err, 'WRONGTYPE', 1, true) then return '' end
  return redis.call('GET', KEYS[1])
end
-- bans returns the tokens of a tombstone, 16 bytes each and one after the other; nil for
-- another record. In one of another version, whose form nobody here knows, it finds a
-- single ban, whose token is of zeros: no call of this release lifts that.
local function bans(bytes)
  if string.sub(bytes, 1, 1) ~= 'T' or #bytes < 2 then return nil end
  local version = string.byte(bytes, 2)
  if version == 0 or version > 31 then return nil end
  if version ~= 2 then return string.rep('\0', 16) end
  if #bytes < 3 or #bytes ~= 3 + 16 * string.byte(bytes, 3) then return nil end
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
