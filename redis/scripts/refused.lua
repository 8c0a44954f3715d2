-- Finds commands that the server lacks, or that the user may not call. Nothing is called.
-- ARGV  commands with their arguments, separated by spaces
-- Reply: the indexes of those commands in ARGV, from 1 on; nil if the server cannot tell
if not redis.acl_check_cmd then return false end
local refused = {}
for i, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if not known or not allowed then refused[#refused + 1] = i end
end
return refused
