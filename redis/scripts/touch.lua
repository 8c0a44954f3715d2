-- Renews the TTL of a value, as far as the MaxAge of the value allows. Any other record,
-- a stale value, and a value of another version, stays as it is.
-- KEYS[1]  the key
-- Reply: what is left of the TTL now, ms; 0 if there was nothing to renew
local start = head(80)
if #start < 20 or string.sub(start, 1, 2) ~= 'V\2' then return 0 end
local deadline, ttl, window = number(start, 5, 12), number(start, 13, 20), 0
local left = redis.call('PTTL', KEYS[1])
if replaceable(start) then
  window = number(start, 41, 48)
  left = left - window
  if left < 1 then return 0 end
end
local want = math.min(ttl, deadline - now())
if want <= left then return 0 end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', want + window))
return want
