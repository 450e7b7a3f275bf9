-- Marks by id in partitions by the messages' own time: a window is forgotten by
-- dropping tables. Sweep makes the partitions ahead and drops the old ones.
CREATE TABLE IF NOT EXISTS hapax_inbox (
	id      bytea       NOT NULL,               -- SHA-256 of scope and identity
	period  timestamptz NOT NULL,               -- the message's time, cut to the start of its partition
	digest  bigint      NOT NULL,               -- of the payload; 0: none
	receipt bytea,                              -- the handler's outcome, for the copies to come
	PRIMARY KEY (id, period)
) PARTITION BY RANGE (period);
-- What lies before the horizon is forgotten: nothing can be said of such messages.
CREATE TABLE IF NOT EXISTS hapax_inbox_horizon (
	only_row boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (only_row),
	horizon  timestamptz NOT NULL
);
INSERT INTO hapax_inbox_horizon (horizon) VALUES ('epoch') ON CONFLICT DO NOTHING;
