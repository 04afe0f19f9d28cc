-- Schema 7: limits of requests are counted together by all processes. One of the version before counts
-- by itself until it is replaced.

-- What was used of the limit of a line of keys: when all of it is there again, in nanoseconds since 1970
-- by the database's clock, and the window that this is of. No row: nothing was used.
CREATE TABLE rate_limit (
    lineage TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    full_again BIGINT NOT NULL,
    window_seconds BIGINT NOT NULL
);

-- A count then finds room on its key's page, and no index has to be written. For pages written from now on.
ALTER TABLE api_key SET (fillfactor = 80);
