-- Schema 2: users of the embedded directory, and what session tokens need. It adds only, so that
-- processes of the version before go on working until they are replaced.

-- How many rows `user` has.
ALTER TABLE meta ADD COLUMN user_count INTEGER NOT NULL DEFAULT 0;

CREATE TABLE user_account (
    id TEXT NOT NULL PRIMARY KEY,
    username TEXT NOT NULL,
    username_folded TEXT NOT NULL UNIQUE,
    profile BLOB NOT NULL, -- encrypted
    password BLOB NOT NULL, -- encrypted, vouches for the rest of the row
    is_active INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    password_changed_at INTEGER NOT NULL,
    last_login_at INTEGER,
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX user_listing ON user_account (is_active, username_folded);

-- Tokens that are dead before they expire, by `token:UUID` or `user:NAME`; the latter has an epoch.
CREATE TABLE revocation (
    subject TEXT NOT NULL PRIMARY KEY,
    epoch INTEGER,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revocation_expiry ON revocation (expires_at, subject);

-- What signs session tokens: the newest without `verify_until`.
CREATE TABLE session_key (
    kid TEXT NOT NULL PRIMARY KEY,
    secret BLOB NOT NULL, -- encrypted, vouches for the rest of the row
    created_at INTEGER NOT NULL,
    verify_until INTEGER
) STRICT;

-- From where somebody logged in to an account, of whatever directory.
CREATE TABLE known_address (
    account TEXT NOT NULL,
    network TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (account, network)
) STRICT, WITHOUT ROWID;

CREATE INDEX known_address_newest ON known_address (account, at, network);
