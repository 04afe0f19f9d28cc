#!/usr/bin/env bash
# A node on PostgreSQL with a million keys: how soon after its start it answers and is ready, and how many
# verifications it does a second beside a server on SQLite with the same keys. Prints the measurements of
# docs/scaling.md, and ends non-zero when a promise is not kept.
#
#   bench/nodes.sh           # seven minutes, 4 GB of disk; Debian's postgresql, wrk, python3, jq; two cores
#   bench/nodes.sh --quick   # a smoke run with a thousand keys, which judges nothing
#
#   --keys N        keys in each store
#   --rounds N      how often both are measured; the median of the ratios counts
#   --seconds N     how long each time
#   --binary FILE   the program to measure, in place of building it
#
# The server that is measured has a core of its own. wrk has another one, with 64 connections and
# credentials drawn from a thousand keys, and PostgreSQL a third if there is one. Where there is none, it
# takes from wrk what it needs for the counts, and so from the requests: then the processor time of a request
# is judged, and not how many there were. Which of the two servers comes first changes with each round. While
# a start is measured, server and PostgreSQL have all cores. SERVER_CORE, LOAD_CORE and POSTGRES_CORE name
# other cores.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In milliseconds, and of the requests on SQLite.
readonly ready_limit=5000
readonly ratio_limit=0.97
readonly connections=64
# For anything that has no limit of its own, in seconds.
readonly patience=300
readonly server_core=${SERVER_CORE:-0}
readonly load_core=${LOAD_CORE:-1}
readonly postgres_core=${POSTGRES_CORE:-$(($(nproc) > 2 ? 2 : load_core))}
readonly starts=5

keys=1000000
rounds=7
seconds=3
smoke=
binary=

folder=$(mktemp -d)
broken=()
declare -A pid url

# shellcheck source=bench/postgres.sh
source bench/postgres.sh

main() {
    read_arguments "$@"
    if [[ -z $binary ]]; then
        cargo build --release --quiet --locked --package sealgate
        binary=$PWD/target/release/sealgate
    fi
    unset "${!SEALGATE_@}"
    postgres_options="-c shared_buffers=1GB -c max_wal_size=4GB"
    start_postgres
    make_stores
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores;" \
        "$(postgres_version); $keys keys"
    measure_starts
    pin_postgres
    start sqlite taskset --cpu-list "$server_core"
    start postgres taskset --cpu-list "$server_core"
    measure_verification
    if [[ ${#broken[@]} -gt 0 ]]; then
        fail "not kept: $(printf '%s; ' "${broken[@]}")"
    fi
}

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --quick) smoke=1 rounds=1 seconds=1 keys=1000 ;;
            --keys | --rounds | --seconds)
                [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
                printf -v "${1#--}" %s "$2"
                shift
                ;;
            --binary)
                binary=$(cd "$called_from" && realpath "${2:-}") || usage
                shift
                ;;
            *) usage ;;
        esac
        shift
    done
    ((keys >= 1000)) || fail "credentials are drawn from a thousand keys: --keys is too small"
}

usage() {
    sed -n '/^#   bench/,/^# The server/{/^# The server/d; s/^# \{0,1\}//; p;}' bench/nodes.sh >&2
    exit 2
}

# The same keys in both stores.

make_stores() {
    local begin
    : >"$folder/none.toml"
    begin=$(now)
    sealgate create --name Admin --admin >"$folder/admin"
    seq "$keys" | sed 's/.*/{"name":"Worker &","permissions":"api:read api:write"}/' |
        sealgate create --from - 2>"$folder/log" |
        sed 's/.*"api_key":"\([^"]*\)".*/\1/' >"$folder/keys" ||
        fail "the keys were not made: $(tail -n 5 "$folder/log")"
    tell "the keys made on SQLite" $(($(now) - begin))
    begin=$(now)
    sealgate migrate-store --from "sqlite:$folder/of_sqlite/sealgate.db" \
        --to "$SEALGATE_DATABASE_URL" >"$folder/log" 2>&1 ||
        fail "they were not moved: $(tail -n 5 "$folder/log")"
    tell "… and moved to PostgreSQL" $(($(now) - begin))
}

# A command on a file, whatever SEALGATE_DATABASE_URL names.
sealgate() {
    env --unset SEALGATE_DATABASE_URL "$binary" --data-dir "$folder/of_sqlite" \
        --config "$folder/none.toml" --quiet "$@"
}

# Starts.

measure_starts() {
    local times begin key
    : >"$folder/times"
    for _ in $(seq "$starts"); do
        key=$(shuf -n 1 "$folder/keys")
        begin=$(now)
        launch postgres
        wait_until postgres says_where_it_listens
        until curl -sf -o /dev/null -H "X-API-Key: $key" "${url[postgres]}/api/auth/verify"; do
            sleep 0.005
        done
        times="$(($(now) - begin))"
        wait_until postgres is_ready
        times+=" $(($(now) - begin)) $(awk '/VmRSS/ {print $2}' "/proc/${pid[postgres]}/status")"
        echo "$times" >>"$folder/times"
        end postgres
    done
    tell "start on PostgreSQL to the first verification" "$(median 1)" ", slowest $(slowest 1) ms"
    tell "… to every key in memory, which is ready" "$(median 2)" ", slowest $(slowest 2) ms"
    echo "resident memory then: $(($(median 3) / 1024)) MB, $(($(median 3) * 1024 / keys)) bytes a key"
    if [[ -z $smoke ]] && (($(median 2) > ready_limit)); then
        broken+=("it is not ready within $ready_limit ms")
    fi
}

median() {
    sort -n -k "$1" "$folder/times" | awk -v field="$1" -v row=$((starts / 2 + 1)) 'NR == row {print $field}'
}

slowest() {
    sort -n -k "$1" "$folder/times" | awk -v field="$1" 'END {print $field}'
}

now() {
    date +%s%3N
}

tell() {
    echo "$1: $2 ms${3:-}"
}

# Verification.

pin_postgres() {
    local server process
    server=$(head -n 1 "$folder/postgres/data/postmaster.pid")
    for process in "$server" $(pgrep --parent "$server"); do
        taskset --cpu-list --pid "$postgres_core" "$process" >/dev/null
    done
}

measure_verification() {
    local round store order
    python3 bench/verify/credentials.py "${url[sqlite]}" "$folder/admin" "$folder/keys" "$folder" key
    for round in $(seq 0 "$rounds"); do
        order=(sqlite postgres)
        if ((round % 2)); then
            order=(postgres sqlite)
        fi
        for store in "${order[@]}"; do
            verify "$store" "$round"
        done
    done
    report
}

# verify STORE ROUND: the first round is there to warm up.
verify() {
    python3 bench/verify/measure.py --row "$1" --round "$2" --seconds "$seconds" --sample 100 \
        --results "$folder/results" --url "${url[$1]}" --requests "$folder/key.txt" --expect 200 \
        --pid "${pid[$1]}" --core "$load_core" --connections "$connections" ||
        fail "it could not be measured: $(tail -n 3 "$folder/$1.log")"
}

report() {
    local of_requests of_time ratio
    jq -rs 'def median: sort | .[length / 2 | floor];
        map(select(.round > 0)) | group_by(.row)[] |
        "\(.[0].row): \(map(.requests_per_second) | median | round) requests/s, " +
        "\(map(.cpu_microseconds) | median * 100 | round / 100) µs of processor time a request, " +
        "p99 \(map(.p99_microseconds) | median / 1000 * 100 | round / 100) ms"' "$folder/results"
    of_requests=$(ratios '.postgres.requests_per_second / .sqlite.requests_per_second')
    of_time=$(ratios '.sqlite.cpu_microseconds / .postgres.cpu_microseconds')
    echo "PostgreSQL against SQLite, median of $rounds rounds, by requests: $of_requests"
    echo "… by what a core could do, as a request takes processor time: $of_time"
    ratio=${of_requests%% *}
    if [[ $postgres_core == "$load_core" ]]; then
        ratio=${of_time%% *}
    fi
    if [[ -z $smoke ]] && jq -en "$ratio < $ratio_limit" >/dev/null; then
        broken+=("verification on PostgreSQL is below $ratio_limit of that on SQLite")
    fi
}

# ratios EXPRESSION: of each round, the median first and then all.
ratios() {
    jq -rs 'map(select(.round > 0)) | group_by(.round) |
        map(map({key: .row, value: .}) | from_entries | '"$1"') | sort |
        "\(.[length / 2 | floor] * 1000 | round / 1000) \(map(. * 1000 | round / 1000))"' "$folder/results"
}

# Servers.

# start STORE COMMAND…: through a command, and waits until every key is loaded.
start() {
    launch "$@"
    wait_until "$1" says_where_it_listens
    wait_until "$1" is_ready
}

launch() {
    local on=()
    # Before it starts: what it told the last time is not to be taken for an answer.
    rm -f "$folder/$1.log"
    if [[ $1 == sqlite ]]; then
        on=(env --unset SEALGATE_DATABASE_URL)
    fi
    "${on[@]}" "${@:2}" "$binary" --data-dir "$folder/of_$1" --config "$folder/none.toml" \
        serve --listen 127.0.0.1:0 2>"$folder/$1.log" &
    pid[$1]=$!
}

# wait_until STORE CONDITION
wait_until() {
    local deadline=$((SECONDS + patience))
    until "$2" "$1"; do
        kill -0 "${pid[$1]}" 2>/dev/null || fail "$1 ended: $(tail -n 5 "$folder/$1.log")"
        ((SECONDS < deadline)) || fail "$1: after $patience s it is not so that it ${2//_/ }"
        # Not more often: each look is a process that takes of the processor time.
        sleep 0.05
    done
}

says_where_it_listens() {
    url[$1]=$(grep -som1 'http://127.0.0.1:[0-9]*' "$folder/$1.log")
}

is_ready() {
    curl -sf -o /dev/null --max-time 5 "${url[$1]}/readyz"
}

end() {
    kill "${pid[$1]}" 2>/dev/null || true
    wait "${pid[$1]}" 2>/dev/null || true
    unset "pid[$1]"
}

clean_up() {
    local store
    for store in "${!pid[@]}"; do
        end "$store"
    done
    stop_postgres
    rm -rf "$folder"
}

main "$@"
