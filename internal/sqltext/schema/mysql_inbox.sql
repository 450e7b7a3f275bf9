-- Marks by id: a row for each message that was handled.
CREATE TABLE IF NOT EXISTS hapax_inbox (
	id      BINARY(32)   NOT NULL PRIMARY KEY,  -- SHA-256 of scope and identity
	digest  BIGINT       NOT NULL,              -- of the payload; 0: none
	run     BIGINT       NOT NULL DEFAULT 0,    -- tells the rows of one batch from those that were there
	receipt MEDIUMBLOB,                         -- the handler's outcome, for the copies to come
	marked  TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	KEY hapax_inbox_marked (marked)
) ENGINE = InnoDB;
