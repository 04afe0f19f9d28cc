-- Schema 1. Identifiers are hyphenated UUIDs, times are Unix milliseconds, flags are 0 and 1.

-- One row. Every later schema keeps `schema_version`: an older program has to find it.
CREATE TABLE meta (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    schema_version INTEGER NOT NULL,
    -- How many rows `api_key` has: counting a million takes longer than a health check may.
    key_count INTEGER NOT NULL,
    -- The highest sequence that was pruned from the change feed.
    feed_floor INTEGER NOT NULL
) STRICT;

-- What columns are encrypted under, wrapped by the master key. The newest encrypts, any decrypts.
CREATE TABLE data_encryption_key (
    id INTEGER PRIMARY KEY,
    wrapped BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    prefix TEXT NOT NULL,
    salt BLOB NOT NULL,
    hash BLOB NOT NULL,
    token_secret BLOB NOT NULL, -- encrypted
    name TEXT NOT NULL,
    name_folded TEXT NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    is_admin INTEGER NOT NULL,
    environment TEXT NOT NULL,
    rate_limit INTEGER,
    allowed_ips TEXT NOT NULL,
    status TEXT NOT NULL,
    rotated_to TEXT,
    grace_until INTEGER,
    revoked_at INTEGER,
    revoke_reason TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    rotated_from TEXT,
    lineage TEXT NOT NULL,
    last_used_at INTEGER,
    use_count INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

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
    sequence INTEGER PRIMARY KEY,
    time INTEGER NOT NULL,
    action TEXT NOT NULL,
    key_id TEXT,
    actor TEXT NOT NULL,
    address TEXT,
    user_agent TEXT,
    method TEXT,
    path TEXT,
    status INTEGER,
    request_id TEXT,
    details TEXT NOT NULL,
    hash BLOB NOT NULL
) STRICT;

-- An index of SQLite ends with the row's number, which is `sequence` here.
CREATE INDEX audit_key ON audit (key_id) WHERE key_id IS NOT NULL;

-- One row: where the log ends, sealed.
CREATE TABLE audit_head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    sequence INTEGER NOT NULL,
    hash BLOB NOT NULL,
    seal BLOB NOT NULL
) STRICT;

-- AUTOINCREMENT: a number must not come back after its row was pruned, or a reader would miss it.
CREATE TABLE feed (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL
) STRICT;

-- Requests served in minutes that are not closed yet; no address is ''.
CREATE TABLE uses (
    minute INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    address TEXT NOT NULL,
    route TEXT NOT NULL,
    requests INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (minute, key_id, address, route)
) STRICT, WITHOUT ROWID;

CREATE INDEX uses_key ON uses (key_id);

CREATE TABLE lineage_key (
    lineage TEXT NOT NULL,
    version INTEGER NOT NULL,
    key BLOB NOT NULL, -- encrypted
    created_at INTEGER NOT NULL,
    PRIMARY KEY (lineage, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_key (
    kid TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    pkcs8 BLOB NOT NULL, -- encrypted
    created_at INTEGER NOT NULL
) STRICT;
