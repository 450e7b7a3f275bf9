-- Claims: a row for each message that is worked on, or was handled within its window.
CREATE TABLE IF NOT EXISTS hapax_claims (
	id      BLOB    NOT NULL PRIMARY KEY,       -- SHA-256 of scope and identity
	state   INTEGER NOT NULL,                   -- 0: given back; 1: claimed; 2: committed
	token   INTEGER NOT NULL,                   -- of the last claim; the next one is higher
	nonce   INTEGER NOT NULL,                   -- drawn by who claimed: tells its claim from all others
	digest  INTEGER NOT NULL,                   -- of the payload; 0: none
	ends    INTEGER NOT NULL,                   -- the lease, or the window: microseconds since 1970, by this machine's clock
	receipt BLOB                                -- the handler's outcome, for the copies to come
);
CREATE INDEX IF NOT EXISTS hapax_claims_ends ON hapax_claims (ends);
