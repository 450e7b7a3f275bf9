-- Marks by number: a row for each numbering, which is a partition's positions or a producer's sequence.
CREATE TABLE IF NOT EXISTS hapax_numbers (
	id     BINARY(32)   NOT NULL PRIMARY KEY,   -- SHA-256 of scope and source, or of scope and producer
	epoch  BIGINT       NOT NULL,               -- of the producer; 0 of a partition
	next   BIGINT       NOT NULL,               -- one above the highest number that is marked
	marked TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3)
) ENGINE = InnoDB;
