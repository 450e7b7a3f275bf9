-- Tells what is known. KEYS: the message.
-- Answers the record, or nil, and the time in µs.
local time = redis.call('TIME')
return {redis.call('GET', KEYS[1]), time[1] * 1000000 + time[2]}
