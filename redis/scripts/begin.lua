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
-- tombstone says whether a record is one. It has any number of tokens, of 16 bytes;
-- those of other versions are heeded whatever they have.
local function tombstone(bytes)
  if string.sub(bytes, 1, 1) ~= 'T' or #bytes < 2 then return false end
  return (#bytes - 2) % 16 == 0 or string.sub(bytes, 2, 2) ~= '\2'
end
-- now returns Redis' time, in ms.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
