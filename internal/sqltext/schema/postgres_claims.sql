-- Claims: a row for each message that is worked on, or was handled within its window.
CREATE TABLE IF NOT EXISTS hapax_claims (
	id      bytea    NOT NULL PRIMARY KEY,      -- SHA-256 of scope and identity
	state   smallint NOT NULL,                  -- 0: given back; 1: claimed; 2: committed
	token   bigint   NOT NULL,                  -- of the last claim; the next one is higher
	nonce   bigint   NOT NULL,                  -- drawn by who claimed: tells its claim from all others
	digest  bigint   NOT NULL,                  -- of the payload; 0: none
	ends    bigint   NOT NULL,                  -- the lease, or the window: microseconds since 1970, by this server's clock
	receipt bytea                               -- the handler's outcome, for the copies to come
) WITH (fillfactor = 70);                       -- rows are updated, in their pages if there is room
CREATE INDEX IF NOT EXISTS hapax_claims_ends ON hapax_claims (ends);
