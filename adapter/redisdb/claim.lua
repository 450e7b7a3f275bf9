-- Claims messages. KEYS: one a message. ARGV: the lease in µs, how long the keys live in
-- ms, and for each message its digest and a nonce, of eight bytes each, in one string.
-- Answers for each its record, which is its own claim or says that it is done; or 'i' and
-- the record of another's claim; 'x' for a conflict, '?' for what is not a record, 'o' if
-- it is new and there is no memory for it.
local call, sub, unpack64 = redis.call, string.sub, struct.unpack
local none = '\0\0\0\0\0\0\0\0'
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local token, deadline = struct.pack('>I8', now), struct.pack('>I8', now + ARGV[1])

-- judge answers by a record that was there, or not at all if the message is free.
local function judge(known, asked)
	local state = sub(known, 1, 1)
	local done = state == 'd' or state == 'D'
	if not done and (#known ~= 33 or state ~= 'c' and state ~= 'r') then
		return '?'
	end
	if not done and (state == 'r' or now >= unpack64('>I8', known, 26)) then
		return nil
	end
	local digest, before = sub(asked, 1, 8), sub(known, 10, 17)
	if digest ~= before and digest ~= none and before ~= none then
		return 'x'
	end
	if done or sub(known, 18, 25) == sub(asked, 9) then -- its own: a request whose answer was lost
		return known
	end
	return 'i' .. known
end

local answers = {}
for i, key in ipairs(KEYS) do
	local asked = ARGV[i + 2]
	local record = 'c' .. token .. asked .. deadline
	local known = redis.pcall('SET', key, record, 'PX', ARGV[2], 'NX', 'GET')
	local full = type(known) == 'table'
	if full then
		if sub(known.err, 1, 3) ~= 'OOM' then
			return known
		end
		known = call('GET', key)
	end
	local answer = record
	if known then
		answer = judge(known, asked)
	end
	if full and (not known or not answer) then
		answer = 'o'
	elseif not answer then -- the lease ran out, or was given back: tokens rise all the same
		local next = math.max(now, unpack64('>I8', known, 2) + 1)
		answer = 'c' .. struct.pack('>I8', next) .. asked .. deadline
		call('SET', key, answer, 'PX', ARGV[2])
	end
	answers[i] = answer
end
return answers
