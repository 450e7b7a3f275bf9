#!lua flags=allow-oom
-- Commits claims. KEYS: one a message. ARGV: how long to remember in ms, and for each
-- message its new record.
-- Answers 1 for each that is done by this token, now or before, and else 0.
local call, sub = redis.call, string.sub
local answers = {}
for i, key in ipairs(KEYS) do
	local record = ARGV[i + 1]
	local known = call('GET', key)
	local done = 0
	if known and sub(known, 2, 9) == sub(record, 2, 9) then
		local state = sub(known, 1, 1)
		if state == 'c' then
			call('SET', key, record, 'PX', ARGV[1])
			done = 1
		elseif state == 'd' or state == 'D' then
			done = 1
		end
	end
	answers[i] = done
end
return answers
