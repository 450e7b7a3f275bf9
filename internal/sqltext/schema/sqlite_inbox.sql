-- Marks by id: a row for each message that was handled.
CREATE TABLE IF NOT EXISTS hapax_inbox (
	id      BLOB    NOT NULL PRIMARY KEY,       -- SHA-256 of scope and identity
	digest  INTEGER NOT NULL,                   -- of the payload; 0: none
	receipt BLOB,                               -- the handler's outcome, for the copies to come
	marked  INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)) -- seconds since 1970
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hapax_inbox_marked ON hapax_inbox (marked);
