# PostgreSQL for the scripts beside this one, which source it: as durable as it comes, on a free port, as a
# user who is not root, in a folder below $folder. They have `clean_up`, which is called at their end.
# shellcheck shell=bash disable=SC2154

trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "bench/${0##*/}: $1" >&2
    exit 1
}

readonly password=correct-horse-battery
postgres=

# With options of the server's in `postgres_options`. Afterwards SEALGATE_DATABASE_URL names an empty
# database, and SEALGATE_MASTER_KEY_FILE the master key.
start_postgres() {
    local port
    postgres=$(compgen -G "/usr/lib/postgresql/*/bin" | sort -V | tail -n 1) ||
        fail "PostgreSQL is missing: apt-get install postgresql"
    chmod 755 "$folder"
    mkdir "$folder/postgres"
    echo "$password" >"$folder/password"
    chmod 644 "$folder/password"
    if [[ $EUID -eq 0 ]]; then
        chown postgres "$folder/postgres"
    fi
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    as_postgres "$postgres/initdb" --auth=scram-sha-256 --username=sealgate --encoding=UTF8 \
        --pwfile="$folder/password" --pgdata="$folder/postgres/data" >"$folder/initdb.log" 2>&1 ||
        fail "initdb failed: $(tail -n 3 "$folder/initdb.log")"
    as_postgres "$postgres/pg_ctl" start --silent --wait --pgdata="$folder/postgres/data" \
        --log="$folder/postgres/log" --options="-p $port -c listen_addresses=127.0.0.1 \
        -c unix_socket_directories=$folder/postgres ${postgres_options:-}" ||
        fail "PostgreSQL did not start"
    export SEALGATE_DATABASE_URL=postgres://sealgate:$password@127.0.0.1:$port/sealgate
    PGPASSWORD=$password "$postgres/createdb" -h 127.0.0.1 -p "$port" -U sealgate sealgate
    openssl rand -hex 32 >"$folder/master.key"
    chmod 600 "$folder/master.key"
    export SEALGATE_MASTER_KEY_FILE=$folder/master.key
}

as_postgres() {
    if [[ $EUID -eq 0 ]]; then
        (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@")
    else
        "$@"
    fi
}

postgres_version() {
    "$postgres/postgres" --version
}

stop_postgres() {
    if [[ -e $folder/postgres/data/postmaster.pid ]]; then
        as_postgres "$postgres/pg_ctl" stop --silent --mode=fast --pgdata="$folder/postgres/data" || true
    fi
}
