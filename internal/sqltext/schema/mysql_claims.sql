-- Claims: a row for each message that is worked on, or was handled within its window.
CREATE TABLE IF NOT EXISTS hapax_claims (
	id      BINARY(32) NOT NULL PRIMARY KEY,    -- SHA-256 of scope and identity
	state   TINYINT    NOT NULL,                -- 0: given back; 1: claimed; 2: committed
	token   BIGINT     NOT NULL,                -- of the last claim; the next one is higher
	nonce   BIGINT     NOT NULL,                -- drawn by who claimed: tells its claim from all others
	digest  BIGINT     NOT NULL,                -- of the payload; 0: none
	ends    BIGINT     NOT NULL,                -- the lease, or the window: microseconds since 1970, by this server's clock
	receipt MEDIUMBLOB,                         -- the handler's outcome, for the copies to come
	KEY hapax_claims_ends (ends)
) ENGINE = InnoDB;
