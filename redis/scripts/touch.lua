-- Renews the TTL of a value, as far as the MaxAge of the value allows. Any other record,
-- and a value of another version, stays as it is.
-- KEYS[1]  the key
-- Reply: what is left of the TTL now, ms; 0 if there was nothing to renew
local start = head(20) -- up to the TTL
if #start < 20 or string.sub(start, 1, 2) ~= 'V\2' then return 0 end
local function number(first, last)
  local n = 0
  for i = first, last do n = n * 256 + string.byte(start, i) end
  return n
end
local deadline, ttl = number(5, 12), number(13, 20)
local left = redis.call('PTTL', KEYS[1])
local want = math.min(ttl, deadline - now())
if want <= left then return 0 end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', want))
return want
