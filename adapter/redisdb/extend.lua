#!lua flags=allow-oom
-- Prolongs a claim. KEYS: the message. ARGV: its token, the lease from now in µs, and
-- how long a token is remembered beyond its lease in ms.
-- Answers the record, or nil if the claim is not this token's.
local record = redis.call('GET', KEYS[1])
if not record or record:sub(1, 1) ~= 'c' or record:sub(2, 9) ~= ARGV[1] then
	return false
end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local deadline = now + ARGV[2]
if deadline > struct.unpack('>I8', record, 26) then
	record = record:sub(1, 25) .. struct.pack('>I8', deadline)
	redis.call('SET', KEYS[1], record, 'PX', math.ceil(ARGV[2] / 1000) + ARGV[3])
end
return record
