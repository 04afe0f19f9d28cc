-- The database of the three nodes, and who owns it: psql --file database.sql, as PostgreSQL's administrator.
-- Put a password of your own here and into /etc/sealgate/database-url.
CREATE ROLE sealgate LOGIN PASSWORD 'correct-horse-battery';
CREATE DATABASE sealgate OWNER sealgate ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE sealgate FROM PUBLIC;
