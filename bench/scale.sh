#!/usr/bin/env bash
# A million keys and ten million audit records: how long it takes to make them, to start on them, and
# to read a page of keys or of a key's log. Prints each measurement, and ends non-zero when one is
# over its limit.
#
#   bench/scale.sh [KEYS] [RECORDS]      # 1000000 10000000 unless said; about 3 GB of disk
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# In milliseconds. They hold for up to a million keys and ten million records.
readonly make_limit=120000
readonly first_request_limit=3000
readonly page_limit=50
# How often a page is fetched; the median counts.
readonly times=21
# How long anything may take that has no limit of its own, in seconds.
readonly patience=120

keys=${1:-1000000}
records=${2:-10000000}
if [[ ! $keys =~ ^[1-9][0-9]*$ || ! $records =~ ^[0-9]+$ ]]; then
    echo "usage: bench/scale.sh [KEYS [RECORDS]]" >&2
    exit 2
fi

folder=$(mktemp -d)
server=
base=
over=()

main() {
    cargo build --release --quiet --locked --package sealgate
    cargo build --release --quiet --locked --package sealgate-store --example fill_log

    local admin id key start
    admin=$(sealgate --quiet create --name "Admin" --admin)

    start=$(now_ms)
    seq "$keys" | sed 's/.*/{"name":"Worker &","permissions":"api:read api:write"}/' |
        sealgate create --from - >"$folder/keys.jsonl" 2>"$folder/log"
    tell "make $keys keys" $(($(now_ms) - start)) "$make_limit"

    start=$(now_ms)
    ./target/release/examples/fill_log "$folder" "$records" >/dev/null
    tell "write $records audit records" $(($(now_ms) - start))

    key=$(made $((keys / 2 + 1)) .api_key)
    id=$(made $((keys / 3 + 1)) .key.key_id)
    start=$(now_ms)
    start_server
    get "$key" "/api/auth/profile" >/dev/null
    tell "start with $keys keys to the first request answered" $(($(now_ms) - start)) \
        "$first_request_limit"
    wait_for ready
    tell "… to every key in memory" $(($(now_ms) - start))
    echo "resident memory: $(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$server/status") MB"

    page "/api/auth/keys"
    local cursor
    cursor=$(jq -r .next_cursor "$folder/answer")
    page "/api/auth/keys?limit=1000" any
    if [[ $cursor != null ]]; then
        page "/api/auth/keys?cursor=$cursor"
    fi
    page "/api/auth/keys?status=active"
    page "/api/auth/keys?status=revoked"
    page "/api/auth/keys?environment=testing&status=active"
    page "/api/auth/keys?q=worker%205"
    page "/api/auth/keys?due=true"
    page "/api/auth/keys/$id/logs"
    command_line_log

    report
}

sealgate() {
    ./target/release/sealgate --data-dir "$folder" "$@"
}

now_ms() {
    date +%s%3N
}

# A member of the key that was made as the Nth.
made() {
    sed -n "$1{p;q}" "$folder/keys.jsonl" | jq -r "$2"
}

# The server.

start_server() {
    # Not through the function above: $! would be a shell's, and not the server's.
    ./target/release/sealgate --data-dir "$folder" serve --listen 127.0.0.1:0 2>"$folder/log" &
    server=$!
    wait_for listening
}

# Tries until it succeeds, as long as there is a server that could make it.
wait_for() {
    local deadline=$((SECONDS + patience))
    until "$1"; do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(tail -n 5 "$folder/log")"
        ((SECONDS < deadline)) || fail "after $patience s the server was not $1"
        sleep 0.005
    done
}

listening() {
    base=$(grep -om1 'http://127.0.0.1:[0-9]*' "$folder/log")
}

ready() {
    curl -sf -o /dev/null "$base/readyz"
}

# get KEY PATH: fetches it, and prints how long that took, in microseconds.
get() {
    local seconds
    seconds=$(curl -sf --max-time "$patience" -o "$folder/answer" -w '%{time_total}' \
        -H "X-API-Key: $1" "$base$2") || fail "GET $2 was not answered as it should be"
    echo $((10#${seconds/./}))
}

# Ends the server and waits for its end, so that nothing is written to a folder that goes away.
clean_up() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Measurements.

# page PATH [any]: fetches a page again and again; one of the default size has a limit.
page() {
    local limit=$page_limit
    if [[ ${2:-} == any ]]; then
        limit=
    fi
    for _ in $(seq "$times"); do
        get "$admin" "$1"
    done >"$folder/times"
    tell_median "GET $1" "$limit"
}

# What somebody waits for who asks on the command line, the program's start included.
command_line_log() {
    local start
    for _ in $(seq "$times"); do
        start=$(now_us)
        sealgate logs --id "$id" >/dev/null
        echo $(($(now_us) - start))
    done >"$folder/times"
    tell_median "sealgate logs --id" "$page_limit"
}

now_us() {
    date +%s%6N
}

tell_median() {
    local sorted
    mapfile -t sorted < <(sort -n "$folder/times")
    tell "$1: median" $((sorted[times / 2] / 1000)) "$2" \
        ", slowest $((sorted[times - 1] / 1000)) ms"
}

# tell WHAT MILLISECONDS [LIMIT [MORE]]
tell() {
    local line="$1: $2 ms${4:-}"
    if [[ -n ${3:-} ]] && (($2 > $3)); then
        line+="  OVER its limit of $3 ms"
        over+=("$line")
    fi
    echo "$line"
}

report() {
    if [[ ${#over[@]} -gt 0 ]]; then
        printf '\n%s over the limit:\n' "${#over[@]}" >&2
        printf '  %s\n' "${over[@]}" >&2
        exit 1
    fi
    echo "Everything is within its limits."
}

fail() {
    echo "bench/scale.sh: $1" >&2
    exit 1
}

main "$@"
