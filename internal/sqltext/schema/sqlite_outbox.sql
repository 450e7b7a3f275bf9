-- Relays: a row for each shard of the outbox, and which relay works on it.
CREATE TABLE IF NOT EXISTS hapax_outbox_relays (
	shard    INTEGER NOT NULL PRIMARY KEY,
	name     TEXT    NOT NULL,                  -- drawn once: the shard's among those of all outboxes
	batch    INTEGER NOT NULL DEFAULT 0,        -- the last one that was sealed; what was published has its number for good
	sealed   TEXT,                              -- the positions of that batch's rows, until it is published; NULL: it was
	faults   INTEGER NOT NULL DEFAULT 0,        -- above zero: there are rows with a fault
	holder   INTEGER NOT NULL DEFAULT 0,        -- the relay; 0: none
	claimant INTEGER NOT NULL DEFAULT 0,        -- a relay that asks for the shard; 0: none
	ends     INTEGER NOT NULL DEFAULT 0         -- the lease: microseconds since 1970, by this machine's clock
);
-- Outgoing records: a row for each, from the commit of whoever put it until it is published.
CREATE TABLE IF NOT EXISTS hapax_outbox (
	shard     INTEGER NOT NULL,                 -- 0 to 15, by the order key: what one relay publishes at a time
	position  INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, -- rises with each put: the order within an order key
	id        TEXT    NOT NULL,                 -- of the record, for good
	named     BLOB,                             -- of an id that the caller gave: its row in hapax_outbox_ids
	topic     TEXT    NOT NULL,
	order_key BLOB    NOT NULL,                 -- empty: none
	headers   BLOB    NOT NULL,                 -- names and values, each behind its length
	payload   BLOB,
	put       INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)), -- seconds since 1970
	fault     TEXT                              -- why it can't be published: those of its order key behind it wait
);
CREATE INDEX IF NOT EXISTS hapax_outbox_shard ON hapax_outbox (shard, position);
CREATE INDEX IF NOT EXISTS hapax_outbox_faults ON hapax_outbox (shard, position) WHERE fault IS NOT NULL;
-- Ids that callers gave: one is put once, until its row is swept.
CREATE TABLE IF NOT EXISTS hapax_outbox_ids (
	id      BLOB    NOT NULL PRIMARY KEY,       -- SHA-256 of topic and id
	digest  INTEGER NOT NULL,                   -- of the payload
	receipt BLOB,                               -- none: the table is read as one of marks
	marked  INTEGER                             -- when it was published, in seconds since 1970; NULL before
);
CREATE INDEX IF NOT EXISTS hapax_outbox_ids_marked ON hapax_outbox_ids (marked) WHERE marked IS NOT NULL;
