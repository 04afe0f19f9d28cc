-- Schema 4: keys that sign tokens are published before they sign, and retired. It adds only, so that
-- processes of the version before go on working until they are replaced.

-- `tokens`: it signs access tokens, or did. `lists`: it signs lists of revocations and no token.
ALTER TABLE signing_key ADD COLUMN purpose TEXT NOT NULL DEFAULT 'tokens';
-- From when on it signs; from the beginning if absent. `pkcs8` vouches for both times.
ALTER TABLE signing_key ADD COLUMN signs_from INTEGER;
ALTER TABLE signing_key ADD COLUMN verify_until INTEGER;

-- Likewise; `secret` vouches for it.
ALTER TABLE session_key ADD COLUMN signs_from INTEGER;
