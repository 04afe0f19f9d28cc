-- Schema 5: counts that come in great numbers are put down as they come, and added up later: a row for each
-- of them, twice a second, would take longer than the requests themselves. It adds only, so that processes
-- of the version before go on working until they are replaced.

-- What is not in `uses` yet, nor in `use_count` and `last_used_at` of its keys.
CREATE TABLE use_batch (
    sequence INTEGER PRIMARY KEY,
    -- A JSON array of arrays: minute, key_id, address, route, requests, last, as in `uses`.
    counts TEXT NOT NULL
) STRICT;
