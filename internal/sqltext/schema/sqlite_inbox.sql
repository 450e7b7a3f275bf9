-- Marks by id: a row for each message that was handled. Rows stand in the order of their time.
CREATE TABLE IF NOT EXISTS hapax_inbox (
	id      BLOB    NOT NULL PRIMARY KEY,       -- SHA-256 of scope and identity
	digest  INTEGER NOT NULL,                   -- of the payload; 0: none
	receipt BLOB,                               -- the handler's outcome, for the copies to come
	marked  INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)) -- seconds since 1970
);
