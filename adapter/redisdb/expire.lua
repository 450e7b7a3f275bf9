#!lua flags=allow-oom
-- Lets a message go. KEYS: the message. ARGV: how long its token is remembered in ms.
-- Answers 1 if it was claimed or done, and else 0.
local record = redis.call('GET', KEYS[1])
if not record or record:sub(1, 1) == 'r' then
	return 0
end
redis.call('SET', KEYS[1], 'r' .. record:sub(2, 9) .. ('\0'):rep(24), 'PX', ARGV[1])
return 1
