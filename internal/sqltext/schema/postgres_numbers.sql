-- Marks by number: a row for each numbering, which is a partition's positions or a producer's sequence.
CREATE TABLE IF NOT EXISTS hapax_numbers (
	id       bytea       NOT NULL PRIMARY KEY,  -- SHA-256 of scope and source, or of scope and producer
	epoch    bigint      NOT NULL,              -- of the producer; 0 of a partition
	next     bigint      NOT NULL,              -- one above the highest number that is marked
	previous bigint      NOT NULL DEFAULT 0,    -- what next was before, in the same epoch
	marked   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);                       -- rows are updated in place
