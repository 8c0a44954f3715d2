-- Takes a ban that came too late off the tombstone of a key, and changes no other record.
-- Without its last ban the tombstone goes, or stands for HoldOff and no longer than before:
-- somebody may have invalidated the key since.
-- KEYS[1]  the key
-- ARGV[1]  the token of the ban
-- ARGV[2]  HoldOff, ms; 0 for none
-- Reply: 1 if the ban was there, 0 if not; or an error, after which all is as before
local tokens, others = bans() or '', ''
for i = 1, #tokens, 16 do
  local ban = string.sub(tokens, i, i + 15)
  if ban ~= ARGV[1] then others = others .. ban end
end
if others == tokens then return 0 end
local ttl = redis.call('PTTL', KEYS[1])
if others == '' then ttl = math.min(ttl, tonumber(ARGV[2])) end
if ttl < 1 then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], tombstone(others), 'PX', string.format('%.0f', ttl))
return 1
