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
-- now returns Redis' time, in ms.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
