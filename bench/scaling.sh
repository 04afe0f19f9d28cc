#!/usr/bin/env bash
# What many nodes ask of one PostgreSQL, done by the store's own code: counts of uses, audit records,
# revocations and their followers; and what a key costs, in the database and in a node's memory. Prints
# the tables of docs/scaling.md.
#
#   bench/scaling.sh           # four minutes, 2 GB of disk and 1 GB of memory; Debian's postgresql
#   bench/scaling.sh --quick   # a smoke run of less than a minute once it is built
#
#   --binary FILE   the example `many_nodes` of sealgate-store, in place of building it
#
# PostgreSQL is as durable as it comes, and shares the machine's cores with those who ask: the processor
# time that it takes for a row is what to reckon with, and how many rows a second there were is what two
# cores did for both.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

binary=
quick=
folder=$(mktemp -d)

# shellcheck source=bench/postgres.sh
source bench/postgres.sh

main() {
    read_arguments "$@"
    if [[ -z $binary ]]; then
        cargo build --release --quiet --locked --package sealgate-store --example many_nodes
        binary=$PWD/target/release/examples/many_nodes
    fi
    # A hundred nodes have two or three connections each.
    postgres_options="-c max_connections=500 -c shared_buffers=1GB -c max_wal_size=4GB"
    start_postgres
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores;" \
        "$(postgres_version)"
    "$binary" "$SEALGATE_DATABASE_URL" $quick || fail "it could not be measured"
}

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --quick) quick=--quick ;;
            --binary)
                binary=$(cd "$called_from" && realpath "${2:-}") || usage
                shift
                ;;
            *) usage ;;
        esac
        shift
    done
}

usage() {
    echo "usage: bench/scaling.sh [--quick] [--binary FILE]" >&2
    exit 2
}

clean_up() {
    stop_postgres
    rm -rf "$folder"
}

main "$@"
