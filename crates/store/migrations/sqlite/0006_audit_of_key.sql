-- Schema 6: the records of a key are listed many at once, a while after they were written. An index that
-- every record enters as it is written touches another page for each key, and each of these pages goes
-- through the write-ahead log with the commit: several times the cost of the record itself. Processes of
-- the version before go on working until they are replaced; for a key's records they read the whole log.

CREATE TABLE audit_of_key (
    key_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (key_id, sequence)
) STRICT, WITHOUT ROWID;

-- The last record that `audit_of_key` is complete to.
ALTER TABLE meta ADD COLUMN audit_listed INTEGER NOT NULL DEFAULT 0;

INSERT INTO audit_of_key (key_id, sequence)
    SELECT key_id, sequence FROM audit WHERE key_id IS NOT NULL ORDER BY key_id, sequence;
UPDATE meta SET audit_listed = coalesce((SELECT max(sequence) FROM audit), 0);

DROP INDEX audit_key;
