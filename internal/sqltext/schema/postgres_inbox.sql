-- Marks by id: a row for each message that was handled.
CREATE TABLE IF NOT EXISTS hapax_inbox (
	id      bytea       NOT NULL PRIMARY KEY,   -- SHA-256 of scope and identity
	digest  bigint      NOT NULL,               -- of the payload; 0: none
	receipt bytea,                              -- the handler's outcome, for the copies to come
	marked  timestamptz NOT NULL DEFAULT now()
);
-- Rows come in the order of their time, so a few bytes for each range of blocks find the old ones.
CREATE INDEX IF NOT EXISTS hapax_inbox_marked ON hapax_inbox USING brin (marked) WITH (autosummarize = on);
