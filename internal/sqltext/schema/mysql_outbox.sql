-- Relays: a row for each shard of the outbox, and which relay works on it.
CREATE TABLE IF NOT EXISTS hapax_outbox_relays (
	shard    TINYINT  NOT NULL PRIMARY KEY,
	name     CHAR(32) CHARACTER SET ascii NOT NULL, -- drawn once: the shard's among those of all outboxes
	batch    BIGINT   NOT NULL DEFAULT 0,       -- the last one that was sealed; what was published has its number for good
	sealed   MEDIUMTEXT CHARACTER SET ascii,    -- the positions of that batch's rows, until it is published; NULL: it was
	faults   BIGINT   NOT NULL DEFAULT 0,       -- above zero: there are rows with a fault
	holder   BIGINT   NOT NULL DEFAULT 0,       -- the relay; 0: none
	claimant BIGINT   NOT NULL DEFAULT 0,       -- a relay that asks for the shard; 0: none
	ends     BIGINT   NOT NULL DEFAULT 0        -- the lease: microseconds since 1970, by this server's clock
) ENGINE = InnoDB;
-- Outgoing records: a row for each, from the commit of whoever put it until it is published.
CREATE TABLE IF NOT EXISTS hapax_outbox (
	shard     TINYINT      NOT NULL,            -- 0 to 15, by the order key: what one relay publishes at a time
	position  BIGINT       NOT NULL AUTO_INCREMENT PRIMARY KEY, -- rises with each put: the order within an order key
	id        VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, -- of the record, for good
	named     BINARY(32),                       -- of an id that the caller gave: its row in hapax_outbox_ids
	topic     VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
	order_key VARBINARY(1024) NOT NULL,         -- empty: none
	headers   MEDIUMBLOB   NOT NULL,            -- names and values, each behind its length
	payload   LONGBLOB,
	put       TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
	fault     TEXT,                             -- why it can't be published: those of its order key behind it wait
	KEY (shard, position)
) ENGINE = InnoDB;
-- Ids that callers gave: one is put once, until its row is swept.
CREATE TABLE IF NOT EXISTS hapax_outbox_ids (
	id      BINARY(32) NOT NULL PRIMARY KEY,    -- SHA-256 of topic and id
	digest  BIGINT     NOT NULL,                -- of the payload
	run     BIGINT     NOT NULL DEFAULT 0,      -- tells the rows of one batch from those that were there
	receipt MEDIUMBLOB,                         -- none: the table is read as one of marks
	marked  TIMESTAMP(3) NULL DEFAULT NULL,     -- when it was published; NULL before
	KEY hapax_outbox_ids_marked (marked)
) ENGINE = InnoDB;
