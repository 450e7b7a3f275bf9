-- Relays: a row for each shard of the outbox, and which relay works on it.
CREATE TABLE IF NOT EXISTS hapax_outbox_relays (
	shard    smallint NOT NULL PRIMARY KEY,
	name     text     NOT NULL,                 -- drawn once: the shard's among those of all outboxes
	batch    bigint   NOT NULL DEFAULT 0,       -- the last one that was sealed; what was published has its number for good
	sealed   text,                              -- the positions of that batch's rows, until it is published; NULL: it was
	faults   bigint   NOT NULL DEFAULT 0,       -- above zero: there are rows with a fault
	holder   bigint   NOT NULL DEFAULT 0,       -- the relay; 0: none
	claimant bigint   NOT NULL DEFAULT 0,       -- a relay that asks for the shard; 0: none
	ends     bigint   NOT NULL DEFAULT 0        -- the lease: microseconds since 1970, by this server's clock
);
-- Outgoing records: a row for each, from the commit of whoever put it until it is published.
CREATE TABLE IF NOT EXISTS hapax_outbox (
	shard     smallint NOT NULL,                -- 0 to 15, by the order key: what one relay publishes at a time
	position  bigint   NOT NULL GENERATED ALWAYS AS IDENTITY, -- rises with each put: the order within an order key
	id        text     NOT NULL,                -- of the record, for good
	named     bytea,                            -- of an id that the caller gave: its row in hapax_outbox_ids
	topic     text     NOT NULL,
	order_key bytea    NOT NULL,                -- empty: none
	headers   bytea    NOT NULL,                -- names and values, each behind its length
	payload   bytea,
	put       timestamptz NOT NULL DEFAULT now(),
	fault     text,                             -- why it can't be published: those of its order key behind it wait
	PRIMARY KEY (shard, position)
) WITH ( -- rows come and go: what is dead is cleared away often, and the planner told what is there
	autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
	autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);
CREATE INDEX IF NOT EXISTS hapax_outbox_faults ON hapax_outbox (shard, position) WHERE fault IS NOT NULL;
-- Ids that callers gave: one is put once, until its row is swept.
CREATE TABLE IF NOT EXISTS hapax_outbox_ids (
	id      bytea  NOT NULL PRIMARY KEY,        -- SHA-256 of topic and id
	digest  bigint NOT NULL,                    -- of the payload
	receipt bytea,                              -- none: the table is read as one of marks
	marked  timestamptz                         -- when it was published; NULL before
);
CREATE INDEX IF NOT EXISTS hapax_outbox_ids_marked ON hapax_outbox_ids (marked) WHERE marked IS NOT NULL;
