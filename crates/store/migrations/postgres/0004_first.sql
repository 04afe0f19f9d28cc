-- Schema 4, the first that PostgreSQL had. A schema's number means the same on every engine.
-- Identifiers are hyphenated UUIDs, times are Unix milliseconds, flags are 0 and 1. Texts are compared
-- by their bytes, whatever language the database is set up for.

-- One row. Every later schema keeps `schema_version`: an older program has to find it.
CREATE TABLE meta (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    schema_version BIGINT NOT NULL,
    -- How many rows `api_key` has: counting a million takes longer than a health check may.
    key_count BIGINT NOT NULL,
    -- How many rows `user_account` has.
    user_count BIGINT NOT NULL,
    -- The highest sequence that was pruned from the change feed.
    feed_floor BIGINT NOT NULL
);

-- What columns are encrypted under, wrapped by the master key. The newest encrypts, any decrypts.
CREATE TABLE data_encryption_key (
    id BIGINT NOT NULL PRIMARY KEY,
    wrapped BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE api_key (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    prefix TEXT COLLATE "C" NOT NULL,
    salt BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    token_secret BYTEA NOT NULL, -- encrypted
    name TEXT NOT NULL,
    name_folded TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    is_admin BIGINT NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    rate_limit BIGINT,
    -- Seconds; means nothing where `rate_limit` is NULL.
    rate_limit_window_seconds BIGINT NOT NULL,
    allowed_ips TEXT NOT NULL,
    status TEXT COLLATE "C" NOT NULL,
    rotated_to TEXT,
    grace_until BIGINT,
    revoked_at BIGINT,
    revoke_reason TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    rotated_from TEXT,
    lineage TEXT NOT NULL,
    last_used_at BIGINT,
    use_count BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE INDEX api_key_prefix ON api_key (prefix, id);
-- Listings: a query that fixes one of environment and status alone asks for each value of the other
-- and merges, so that every page is a range of one of these and each key is in few of them.
CREATE INDEX api_key_listing ON api_key (environment, status, id);
CREATE INDEX api_key_name ON api_key (name_folded, id);
CREATE INDEX api_key_listing_name ON api_key (environment, status, name_folded, id);
CREATE INDEX api_key_expiry ON api_key (expires_at, id)
    WHERE status = 'active' AND expires_at IS NOT NULL;
CREATE INDEX api_key_active_admin ON api_key (id) WHERE is_admin = 1 AND status = 'active';

-- `sequence` has no gaps; `hash` ties each record to the one before it.
CREATE TABLE audit (
    sequence BIGINT NOT NULL PRIMARY KEY,
    time BIGINT NOT NULL,
    action TEXT NOT NULL,
    key_id TEXT COLLATE "C",
    actor TEXT NOT NULL,
    address TEXT,
    user_agent TEXT,
    method TEXT,
    path TEXT,
    status BIGINT,
    request_id TEXT,
    details TEXT NOT NULL,
    hash BYTEA NOT NULL
);

CREATE INDEX audit_key ON audit (key_id, sequence) WHERE key_id IS NOT NULL;

-- One row: where the audit log ends, sealed, and where the change feed ends. Whoever appends to one of
-- them locks it until the transaction ends: so each has one order among all processes, and whoever sees
-- a row of the feed sees all rows before it.
CREATE TABLE audit_head (
    one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    sequence BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    seal BYTEA NOT NULL,
    feed_end BIGINT NOT NULL
);

-- `mark` is drawn at random: it tells a row from another that has got the same number after the store was
-- put back to an earlier state.
CREATE TABLE feed (
    sequence BIGINT NOT NULL PRIMARY KEY,
    kind TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    mark BIGINT NOT NULL
);

-- Requests served in minutes that are not closed yet; no address is ''.
CREATE TABLE uses (
    minute BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    requests BIGINT NOT NULL,
    last BIGINT NOT NULL,
    PRIMARY KEY (minute, key_id, address, route)
);

CREATE INDEX uses_key ON uses (key_id, minute, address, route);

CREATE TABLE lineage_key (
    lineage TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    key BYTEA NOT NULL, -- encrypted
    created_at BIGINT NOT NULL,
    PRIMARY KEY (lineage, version)
);

CREATE TABLE signing_key (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    -- Encrypted, vouches for both times.
    pkcs8 BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    -- `tokens`: it signs access tokens, or did. `lists`: it signs lists of revocations and no token.
    purpose TEXT NOT NULL,
    -- From when on it signs; from the beginning if absent.
    signs_from BIGINT,
    verify_until BIGINT
);

CREATE TABLE user_account (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    username_folded TEXT COLLATE "C" NOT NULL UNIQUE,
    profile BYTEA NOT NULL, -- encrypted
    password BYTEA NOT NULL, -- encrypted, vouches for the rest of the row
    is_active BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    password_changed_at BIGINT NOT NULL,
    last_login_at BIGINT,
    version BIGINT NOT NULL
);

CREATE INDEX user_listing ON user_account (is_active, username_folded);

-- Tokens that are dead before they expire, by `token:UUID` or `user:NAME`; the latter has an epoch.
CREATE TABLE revocation (
    subject TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    epoch BIGINT,
    expires_at BIGINT NOT NULL
);

CREATE INDEX revocation_expiry ON revocation (expires_at, subject);

-- What signs session tokens.
CREATE TABLE session_key (
    kid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    secret BYTEA NOT NULL, -- encrypted, vouches for the rest of the row
    created_at BIGINT NOT NULL,
    signs_from BIGINT,
    verify_until BIGINT
);

-- From where somebody logged in to an account, of whatever directory.
CREATE TABLE known_address (
    account TEXT COLLATE "C" NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (account, network)
);

CREATE INDEX known_address_newest ON known_address (account, at, network);
