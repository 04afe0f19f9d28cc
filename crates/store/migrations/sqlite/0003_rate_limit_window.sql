-- Schema 3: a limit of requests has a window of any length. It adds only, so that processes of the
-- version before go on working until they are replaced. They refuse a key with another window than
-- theirs, which the row's encrypted secret vouches for.

-- Seconds; means nothing where `rate_limit` is NULL.
ALTER TABLE api_key ADD COLUMN rate_limit_window_seconds INTEGER NOT NULL DEFAULT 3600;
