#!lua flags=allow-oom
-- Commits claims. KEYS: one a message. ARGV: how long to remember in ms, and for each
-- message its token, the letter of its new state, and its receipt.
-- Answers 1 for each that is done by this token, now or before, and else 0.
local answers = {}
for i, key in ipairs(KEYS) do
	local at = 3 * i - 1
	local record = redis.call('GET', key)
	local done = 0
	if record and record:sub(2, 9) == ARGV[at] then
		local state = record:sub(1, 1)
		if state == 'c' then
			redis.call('SET', key, ARGV[at + 1] .. record:sub(2, 17) .. ARGV[at + 2], 'PX', ARGV[1])
			done = 1
		elseif state == 'd' or state == 'D' then
			done = 1
		end
	end
	answers[i] = done
end
return answers
