-- Removes a guard that arrived too late from the tombstone of a key. It changes no other
-- record. A tombstone without another token is removed, or stands for HoldOff, but not
-- longer than before: another instance may have invalidated the key since.
-- KEYS[1]  the key
-- ARGV[1]  the token of the guard
-- ARGV[2]  HoldOff, ms; 0 for none
-- Reply: 1 if the guard was there, 0 if not; or an error, after which nothing has changed
local tokens, others = guards() or '', ''
for i = 1, #tokens, 16 do
  local token = string.sub(tokens, i, i + 15)
  if token ~= ARGV[1] then others = others .. token end
end
if others == tokens then return 0 end
local ttl = redis.call('PTTL', KEYS[1])
if others == '' then ttl = math.min(ttl, tonumber(ARGV[2])) end
if ttl < 1 then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], tombstone(others), 'PX', string.format('%.0f', ttl))
return 1
