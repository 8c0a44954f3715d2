-- Removes a guard from a key. A tombstone that has other tokens stays. A tombstone without
-- another token, and any other record, is removed, or replaced by a tombstone for HoldOff.
-- KEYS[1]  the key
-- ARGV[1]  the token of the guard; '' for none: then a tombstone keeps its tokens, and stands
--   at least as long as before
-- ARGV[2]  HoldOff: how long a tombstone is to stand from now on, ms; 0 for none
-- Reply: 1, or an error; after an error the tombstone stands as before if it has other
--   tokens, and otherwise there is no record
local stood, others, hold = guards(), '', tonumber(ARGV[2])
local tokens = stood or ''
for i = 1, #tokens, 16 do
  local token = string.sub(tokens, i, i + 15)
  if token ~= ARGV[1] then others = others .. token end
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
