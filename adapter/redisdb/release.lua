#!lua flags=allow-oom
-- Gives a claim back. KEYS: the message. ARGV: its token, a nonce, and how long the
-- token is remembered in ms.
-- Answers 1, or 0 if the claim is not this token's.
local none = '\0\0\0\0\0\0\0\0'
local record = redis.call('GET', KEYS[1])
if not record or record:sub(2, 9) ~= ARGV[1] then
	return 0
end
local state = record:sub(1, 1)
if state == 'c' then
	redis.call('SET', KEYS[1], 'r' .. ARGV[1] .. none .. ARGV[2] .. none, 'PX', ARGV[3])
	return 1
end
return state == 'r' and record:sub(18, 25) == ARGV[2] and 1 or 0
