-- Takes a ban off the tombstone of a key. With the last one the tombstone goes, or
-- stands on for a while; so does whatever else stands at the key.
-- KEYS[1]  the key
-- ARGV[1]  the token of the ban; '' to leave a tombstone as it is, and as long
-- ARGV[2]  for how long there is to be a tombstone still, ms; 0 for none
-- Reply: 1, or an error, after which the tombstone stands as it was if others share
--   it, and else there is no record
local stood, others, hold = bans(), '', tonumber(ARGV[2])
local tokens = stood or ''
for i = 1, #tokens, 16 do
  local ban = string.sub(tokens, i, i + 15)
  if ban ~= ARGV[1] then others = others .. ban end
end
local ttl = hold
if others ~= '' or (stood and ARGV[1] == '') then
  local left = redis.call('PTTL', KEYS[1])
  if others == tokens and left >= hold then return 1 end
  ttl = math.max(hold, left)
end
if ttl > 0 then
  local set = redis.pcall('SET', KEYS[1], tombstone(others), 'PX', string.format('%.0f', ttl))
  if not set.err then return 1 end
  if others == '' then redis.call('DEL', KEYS[1]) end
  return set
end
redis.call('UNLINK', KEYS[1])
return 1
