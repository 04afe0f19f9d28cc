#!/usr/bin/env bash
# What a flood of wrong logins costs everybody else: the time of GET /api/profile alone, and while
# 1,000 wrong logins a second come from many addresses to many accounts. Both are measured in turn,
# three times each. Ends non-zero when the median under the flood is more than a tenth longer, or when
# a user is not let in from a known address meanwhile.
#
# A server that has more to do answers sooner, since nothing has gone to sleep. So the time is also
# taken while 1,000 requests a second come that cost next to nothing, for GET /healthz.
#
#   bench/logins.sh      # four minutes; Linux, a machine with nothing else to do
#
# The server may use every core, as it would otherwise. The flood is made on the last core and the
# profile is asked for on the first one, so that neither of the two waits for the other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The median under the flood, in hundredths of the median without.
readonly ratio_limit=110
readonly rounds=3
# Of one measurement, in seconds. The flood begins before and ends after it.
readonly window=20
readonly margin=2
# How long anything else may take, in seconds.
readonly patience=60
readonly username=ada
readonly password="correct horse battery staple"
# The address that the flood's legitimate user comes from.
readonly known_address=203.0.113.9

folder=$(mktemp -d)
server=
many=
address=
token=
over=()

main() {
    cargo build --release --quiet --locked --package sealgate --bin sealgate --example login_flood
    start_server
    log_in

    local round
    echo "GET /api/profile, 200 a second on one connection, in microseconds:"
    printf '%-22s %8s %8s %8s %12s\n' window median p99 slowest "server CPU"
    # What is slow only the first time is not measured.
    probe 2 >"$folder/warm-up"
    for round in $(seq "$rounds"); do
        measure "$round, alone" alone
        start_many crowd
        measure "$round, in a crowd" crowded
        end_many
        start_many flood
        measure "$round, under the flood" flooded
        end_many
    done
    total "all, alone" alone
    total "all, in a crowd" crowded
    total "all, under the flood" flooded

    tell_flood
    tell_ratio
    report
}

# The server.

start_server() {
    cat >"$folder/sealgate.toml" <<'END'
[server]
trusted_proxies = ["127.0.0.1"]
END
    sealgate --quiet user add --username "$username" --password-stdin <<<"$password" \
        >/dev/null 2>"$folder/log"
    # Not through the function below: $! would be a shell's, and not the server's.
    ./target/release/sealgate --data-dir "$folder" --config "$folder/sealgate.toml" \
        serve --listen 127.0.0.1:0 2>"$folder/log" &
    server=$!
    local deadline=$((SECONDS + patience))
    until address=$(grep -om1 'http://127.0.0.1:[0-9]*' "$folder/log"); do
        kill -0 "$server" 2>/dev/null || fail "the server ended: $(tail -n 5 "$folder/log")"
        ((SECONDS < deadline)) || fail "after $patience s the server did not listen"
        sleep 0.05
    done
    address=${address#http://}
}

sealgate() {
    ./target/release/sealgate --data-dir "$folder" --config "$folder/sealgate.toml" "$@"
}

# Makes the session that is measured, and the address a known one.
log_in() {
    local body
    body=$(jq -n --arg username "$username" --arg password "$password" '$ARGS.named')
    token=$(curl -sf --max-time "$patience" -H "X-Forwarded-For: $known_address" \
        -H 'Content-Type: application/json' -d @- "http://$address/api/auth/login" <<<"$body" |
        jq -r .data.token) || fail "the user could not log in"
}

clean_up() {
    local process
    for process in "$many" "$server"; do
        if [[ -n $process ]]; then
            kill "$process" 2>/dev/null || true
            wait "$process" 2>/dev/null || true
        fi
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The load.

# probe SECONDS: prints how long each request took, in nanoseconds.
probe() {
    taskset -c 0 ./target/release/examples/login_flood probe "$address" "$1" <<<"$token" ||
        fail "the profile could not be fetched: $(tail -n 5 "$folder/log")"
}

# start_many flood|crowd
start_many() {
    taskset -c "$(($(nproc) - 1))" ./target/release/examples/login_flood \
        "$1" "$address" $((window + 2 * margin)) \
        <<<"$username"$'\n'"$password" >>"$folder/$1s" &
    many=$!
    sleep "$margin"
}

end_many() {
    wait "$many" || fail "the flood or the crowd ended early"
    many=
}

# Measurements.

# measure TITLE KIND: a window, which is added to what there is of its kind.
measure() {
    local before after cpu
    before=$(server_ticks)
    probe "$window" | sort -n >"$folder/window"
    after=$(server_ticks)
    cpu=$(((after - before) * 100 / ($(getconf CLK_TCK) * window)))
    row "$1" "$folder/window" "$cpu %"
    cat "$folder/window" >>"$folder/$2"
}

# The processor time of the server so far, in clock ticks: see proc(5).
server_ticks() {
    sed 's/.*) //' "/proc/$server/stat" | awk '{print $12 + $13}'
}

total() {
    sort -n -o "$folder/$2" "$folder/$2"
    row "$1" "$folder/$2"
}

# row TITLE SORTED-FILE [CPU]
row() {
    printf '%-22s %8s %8s %8s %12s\n' "$1" "$(quantile "$2" 50)" "$(quantile "$2" 99)" \
        "$(quantile "$2" 100)" "${3:-}"
}

# quantile SORTED-FILE PERCENT: in microseconds.
quantile() {
    awk -v percent="$2" '{took[NR] = $1}
        END {n = int(NR * percent / 100); printf "%.1f", took[n < 1 ? 1 : n] / 1000}' "$1"
}

tell_flood() {
    local logins refused
    echo
    echo "wrong logins by status: $(jq -sr '
        [.[].many | to_entries[]] | group_by(.key)
        | map("\(.[0].key): \(map(.value) | add)") | join(", ")' "$folder/floods")"
    echo "not sent in time: $(jq -s 'map(.unsent) | add' "$folder/floods")"
    logins=$(jq -s '[.[].user_ms[]] | length' "$folder/floods")
    echo "the user's logins from a known address meanwhile: $logins, in ms: $(jq -sr '
        [.[].user_ms[]] | sort | "median \(.[length / 2 | floor]), slowest \(.[-1])"' \
        "$folder/floods")"
    refused=$(jq -s '[.[].user_statuses[] | select(. != 200)] | length' "$folder/floods")
    if ((logins == 0 || refused > 0)); then
        over+=("$refused of $logins logins of the user were refused")
    fi
}

tell_ratio() {
    local hundredths
    hundredths=$(ratio alone)
    echo "median under the flood: $hundredths % of the median alone," \
        "$(ratio crowded) % of the median in a crowd"
    if ((hundredths > ratio_limit)); then
        over+=("the median grew to $hundredths %, over its limit of $ratio_limit %")
    fi
}

# The median under the flood in hundredths of another, rounded up.
ratio() {
    awk -v of="$(quantile "$folder/$1" 50)" -v flooded="$(quantile "$folder/flooded" 50)" \
        'BEGIN {printf "%d", flooded / of * 100 + 0.999}'
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
    echo "bench/logins.sh: $1" >&2
    exit 1
}

main "$@"
