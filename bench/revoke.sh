#!/usr/bin/env bash
# How long after a node has acknowledged a revoke others on the same PostgreSQL refuse the key: three
# processes of the server on this machine, all of them under load. Prints the distribution, and ends
# non-zero when any revoke took longer than a second to count anywhere.
#
#   bench/revoke.sh [REVOKES]      # 1000 unless said; Debian's postgresql, wrk, python3; two minutes
#
#   --binary FILE       the program to measure, in place of building it
#   --connections N     of the load on each node; 8 unless said
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In milliseconds.
readonly limit=1000
readonly nodes=3
# For anything that has no limit of its own, in seconds.
readonly patience=60

revokes=1000
connections=8
binary=

folder=$(mktemp -d)
pids=()
loads=()
urls=()

# shellcheck source=bench/postgres.sh
source bench/postgres.sh

main() {
    read_arguments "$@"
    if [[ -z $binary ]]; then
        cargo build --release --quiet --locked --package sealgate
        binary=$PWD/target/release/sealgate
    fi
    start_postgres
    make_keys
    local node
    for ((node = 0; node < nodes; node++)); do
        start_node "$node"
    done
    start_load
    echo "$(nproc) cores, $(postgres_version), $nodes nodes, $connections connections of wrk on each"
    if [[ $(cat /proc/sys/kernel/sched_autogroup_enabled 2>/dev/null) == 1 ]]; then
        # Each process of PostgreSQL is a session, and so a group that is scheduled by itself.
        echo "kernel.sched_autogroup_enabled is on: PostgreSQL may stand still for most of a second"
    fi
    python3 bench/revoke/measure.py --limit "$limit" --admin "$folder/admin" --keys "$folder/keys" \
        "${urls[@]}" || fail "the promise is not kept"
    for ((node = 0; node < nodes; node++)); do
        kill -INT "${loads[node]}" || fail "wrk ended early: $(tail -n 3 "$folder/load-$node")"
        wait "${loads[node]}" || true
        echo "load on node $((node + 1)): $(grep Requests/sec "$folder/load-$node")"
    done
    sealgate logs --verify --quiet >/dev/null || fail "the audit log is not whole"
}

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --binary)
                binary=$(cd "$called_from" && realpath "${2:-}") || usage
                shift
                ;;
            --connections)
                [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
                connections=$2
                shift
                ;;
            *)
                [[ $1 =~ ^[1-9][0-9]*$ ]] || usage
                revokes=$1
                ;;
        esac
        shift
    done
}

usage() {
    echo "usage: bench/revoke.sh [REVOKES] [--binary FILE] [--connections N]" >&2
    exit 2
}

sealgate() {
    "$binary" --data-dir "$folder" "$@"
}

make_keys() {
    sealgate --quiet create --name Admin --admin >"$folder/admin"
    sealgate --quiet create --name Load >"$folder/load-key"
    seq "$revokes" | sed 's/.*/{"name":"Client &"}/' |
        sealgate create --from - >"$folder/keys" 2>"$folder/log"
}

start_node() {
    local log=$folder/node-$1 url deadline=$((SECONDS + patience))
    "$binary" --data-dir "$folder" serve --listen 127.0.0.1:0 2>"$log" &
    pids+=($!)
    until url=$(grep -om1 'http://127.0.0.1:[0-9]*' "$log") && curl -sfo /dev/null "$url/readyz"; do
        kill -0 "${pids[-1]}" 2>/dev/null || fail "a node ended: $(tail -n 5 "$log")"
        ((SECONDS < deadline)) || fail "after $patience s a node was not ready"
        sleep 0.05
    done
    urls+=("$url")
}

# Goes on until it is ended, and prints its figures then.
start_load() {
    local node key
    key=$(cat "$folder/load-key")
    for ((node = 0; node < nodes; node++)); do
        wrk --threads 1 --connections "$connections" --duration 3600s \
            --header "X-API-Key: $key" "${urls[node]}/api/auth/verify" >"$folder/load-$node" 2>&1 &
        loads+=($!)
    done
    pids+=("${loads[@]}")
    sleep 1
}

clean_up() {
    local process
    for process in "${pids[@]}"; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    stop_postgres
    rm -rf "$folder"
}

main "$@"
