-- Claims messages. KEYS: one a message. ARGV, for each: the lease in µs, how long the
-- key lives in ms, the digest and a nonce, of eight bytes each.
-- Answers for each one letter: 'f' fresh, 'd' duplicate, 'i' in flight, each with the
-- record behind it; 'x' conflict; '?' not a record.
local none = '\0\0\0\0\0\0\0\0'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answers = {}
for i, key in ipairs(KEYS) do
	local at = 4 * i - 3
	local digest, nonce = ARGV[at + 2], ARGV[at + 3]
	local record = redis.call('GET', key)
	local token, verdict = now, 'f'
	if record then
		local state = record:sub(1, 1)
		if state == 'd' or state == 'D' then
			verdict = 'd'
		elseif (state ~= 'c' and state ~= 'r') or #record ~= 33 then
			verdict = '?'
		elseif state == 'c' and now < struct.unpack('>I8', record, 18) then
			verdict = record:sub(26) == nonce and 'mine' or 'i'
		else -- the lease ran out, or was given back: tokens rise all the same
			token = math.max(now, struct.unpack('>I8', record, 2) + 1)
		end
		if verdict ~= 'f' and verdict ~= '?' then
			local known = record:sub(10, 17)
			if digest ~= none and known ~= none and digest ~= known then
				verdict = 'x'
			end
		end
	end
	if verdict == 'f' then
		record = struct.pack('>c1I8c8I8c8', 'c', token, digest, now + ARGV[at], nonce)
		redis.call('SET', key, record, 'PX', ARGV[at + 1])
	elseif verdict == 'mine' then -- a request whose answer was lost
		verdict = 'f'
	end
	answers[i] = (verdict == 'x' or verdict == '?') and verdict or verdict .. record
end
return answers
