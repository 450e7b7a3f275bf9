-- Marks by number: a row for each numbering, which is a partition's positions or a producer's sequence.
CREATE TABLE IF NOT EXISTS hapax_numbers (
	id       BLOB    NOT NULL PRIMARY KEY,      -- SHA-256 of scope and source, or of scope and producer
	epoch    INTEGER NOT NULL,                  -- of the producer; 0 of a partition
	next     INTEGER NOT NULL,                  -- one above the highest number that is marked
	previous INTEGER NOT NULL DEFAULT 0,        -- what next was before, in the same epoch
	marked   INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)) -- seconds since 1970
) WITHOUT ROWID;
