#!/usr/bin/env bash
# What Sealgate costs in front of an API, beside a bare axum server and beside peers: requests a second,
# processor time a request, and the time that 99 of 100 requests take. Prints the tables of
# docs/performance.md, and ends non-zero when a promise is not kept.
#
#   bench/verify.sh            # eleven minutes, 5 GB of disk; Debian, two cores with nothing else to do
#   bench/verify.sh --quick    # a smoke run of less than a minute: every row for a second, a thousand
#                              # keys, no peers, nothing judged but whether answers are as they should be
#
#   --rounds N       how often each row is measured; the median counts
#   --seconds N      how long each time
#   --keys N         keys in the store
#   --no-peers       without the servers of others
#   --rows "A B"     these rows alone, by their names in `a_round`, with what they are compared with;
#                    nothing else is judged
#   --plain-hello    compare with a bare axum that is asked without a credential; otherwise it gets the
#                    very requests of the row
#   --binary FILE    the program to measure, in place of building it
#   --results FILE   keep the figures of each run there, as lines of JSON
#
# One server is measured at a time, on one core, with wrk on another: 64 connections, credentials drawn
# from a thousand. Each row has a run of bare axum right before it. The application behind a proxy shares
# its core with wrk, so that the proxy alone, and whom it asks, have the first one. Everything listens
# on 127.0.0.1. SERVER_CORE and LOAD_CORE name other cores than 0 and 1.
set -euo pipefail
called_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD

readonly connections=64
# For anything that has no limit of its own, in seconds. A million keys have to be loaded in it.
readonly patience=300
readonly server_core=${SERVER_CORE:-0}
readonly load_core=${LOAD_CORE:-1}

rounds=5
seconds=3
keys=1000000
with_peers=1
rows=
smoke=0
plain_hello=
binary=
results=

folder=$(mktemp -d)
declare -A pid url

# shellcheck source=bench/verify/tools.sh
source bench/verify/tools.sh

main() {
    read_arguments "$@"
    install_tools "$with_peers"
    build
    heading "Setting up"
    make_stores
    start_everything
    make_requests
    warm_up
    measure_all
    count_after_kill
    heading "Results"
    describe_machine
    report
}

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            --quick)
                smoke=1 rounds=1 seconds=1 keys=1000 with_peers=
                ;;
            --no-peers) with_peers= ;;
            --plain-hello) plain_hello=1 ;;
            --rounds | --seconds | --keys)
                [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage
                printf -v "${1#--}" %s "$2"
                shift
                ;;
            --rows)
                [[ -n ${2:-} ]] || usage
                rows=$2 with_peers=
                shift
                ;;
            --binary | --results)
                [[ -n ${2:-} ]] || usage
                printf -v "${1#--}" %s "$(cd "$called_from" && realpath -- "$2")"
                shift
                ;;
            *) usage ;;
        esac
        shift
    done
    [[ -z $binary || -x $binary ]] || fail "no program: $binary"
    ((keys >= 1000)) || fail "credentials are drawn from a thousand keys: --keys is too small"
}

usage() {
    sed -n '/^#   bench/,/^# One server/{/^# One server/d; s/^# \{0,1\}//; p;}' bench/verify.sh >&2
    exit 2
}

build() {
    cargo build --release --quiet --locked --manifest-path bench/verify/hello/Cargo.toml \
        --target-dir target/bench
    if [[ -z $binary ]]; then
        cargo build --release --quiet --locked --package sealgate
        binary=$root/target/release/sealgate
    fi
    # What is set for another server has no place here.
    unset "${!SEALGATE_@}"
}

# Stores.

make_stores() {
    local name
    make_store million "$keys"
    for name in audit_all token_first gateway; do
        if wants "$name"; then
            copy_store million "$name"
        fi
    done
    make_store thousand 1000
    copy_store thousand ed25519
}

# wants ROW…: whether one of them is to be measured.
wants() {
    local row
    for row in "$@"; do
        if [[ -z $rows || " $rows " == *" $row "* ]]; then
            return 0
        fi
    done
    return 1
}

# make_store NAME KEYS: the keys are in NAME.keys afterwards, one a line.
make_store() {
    : >"$folder/none.toml"
    sealgate "$1" create --name "Admin" --admin >"$folder/$1.admin" 2>>"$folder/log"
    # Of each made key's line the key alone.
    seq "$2" | sed 's/.*/{"name":"Worker &","permissions":"api:read api:write"}/' |
        sealgate "$1" create --from - 2>>"$folder/log" |
        sed 's/.*"api_key":"\([^"]*\)".*/\1/' >"$folder/$1.keys" ||
        fail "the keys were not made: $(tail -n 5 "$folder/log")"
    echo "A store with $2 keys: $(du -sm "$folder/$1" | cut -f 1) MB"
}

copy_store() {
    cp -r "$folder/$1" "$folder/$2"
    ln "$folder/$1.admin" "$folder/$2.admin"
    ln "$folder/$1.keys" "$folder/$2.keys"
}

# sealgate STORE ARGUMENT…: a command without settings but those of the environment.
sealgate() {
    "$binary" --data-dir "$folder/$1" --config "$folder/none.toml" --quiet "${@:2}"
}

# Servers.

start_everything() {
    start hello "$server_core" "$root/target/bench/release/hello"
    start upstream "$load_core" "$root/target/bench/release/hello"
    start_product million SEALGATE_PASSWORDS_MEMORY_KIB=8 SEALGATE_PASSWORDS_PASSES=1
    start_product thousand
    if wants audit_all; then
        start_product audit_all SEALGATE_AUDIT_REQUESTS=all
    fi
    if wants token_first ed25519_first && has_setting tokens.cache; then
        if wants token_first; then
            start_product token_first SEALGATE_TOKENS_CACHE=0
        fi
        start_product ed25519 SEALGATE_TOKENS_CACHE=0 SEALGATE_TOKENS_ALGORITHM=EdDSA
    fi
    if wants gateway && has_gateway; then
        protected=${url[upstream]} start_product gateway
    fi
    start_nginx nginx_static auth-request.conf
    start_nginx proxy_pass proxy-pass.conf
    start_nginx proxy_checked proxy-pass-checked.conf
    if [[ -n $with_peers ]]; then
        start_peers
    fi

    local name
    for name in million token_first audit_all gateway thousand ed25519; do
        if [[ -n ${url[$name]:-} ]]; then
            wait_until "$name" every_key_is_loaded
        fi
    done
}

# start_product STORE [VARIABLE=VALUE…]
start_product() {
    local more=()
    if [[ -n ${protected:-} ]]; then
        more=(--protect "$protected")
    fi
    start "$1" "$server_core" env "${@:2}" "$binary" --data-dir "$folder/$1" \
        --config "$folder/none.toml" serve --listen 127.0.0.1:0 "${more[@]}"
}

# Whether this program knows a setting: an older one, which is measured for comparison, may not.
has_setting() {
    printf '[%s]\n%s = 0\n' "${1%.*}" "${1#*.}" >"$folder/probe.toml"
    if ! "$binary" --data-dir "$folder/thousand" --config "$folder/probe.toml" list \
        >/dev/null 2>"$folder/probe"; then
        skip "$1 = 0"
        return 1
    fi
}

has_gateway() {
    local help
    help=$("$binary" serve --help)
    if [[ $help != *--protect* ]]; then
        skip "the gateway mode"
        return 1
    fi
}

skip() {
    echo "This program has no such thing, and what needs it is not measured: $1"
}

# start_nginx NAME CONFIGURATION: with the master process, as it is run, and one worker.
start_nginx() {
    local home=$folder/$1 port as_whom=
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0))
print(s.getsockname()[1])')
    mkdir -p "$home/temporary"
    echo "Hello, World!" >"$home/hello.txt"
    ln -s "$folder/million.keys" "$home/keys.txt"
    printf '%s_temp_path temporary;\n' client_body proxy fastcgi uwsgi scgi >"$home/temporary.conf"
    sed -e "s|@FOLDER@|$home|g" -e "s|@PORT@|$port|g" -e "s|@MODULES@|$nginx_modules|g" \
        -e "s|@SEALGATE@|${url[million]#http://}|g" -e "s|@UPSTREAM@|${url[upstream]#http://}|g" \
        "$root/bench/verify/nginx/$2" >"$home/nginx.conf"
    if [[ $EUID -eq 0 ]]; then
        # Its worker would otherwise be nobody, who may not look into the folder.
        as_whom=" user root;"
    fi
    start_at "http://127.0.0.1:$port" "$1" "$server_core" \
        env PATH="$PATH:/usr/sbin" nginx -p "$home" -c "$home/nginx.conf" -g "daemon off;$as_whom"
}

start_peers() {
    local node=$root/target/bench/node python=$root/target/bench/python/bin
    start_nginx peer_lua lua.conf
    export NODE_ENV=production
    start peer_fastify "$server_core" node "$node/fastify.js" "$folder/peer_fastify.txt"
    start peer_fastify_cached "$server_core" \
        node "$node/fastify.js" "$folder/peer_fastify_cached.txt" cached
    start peer_better_auth "$server_core" \
        node "$node/better-auth.js" "$folder/peer_better_auth.txt"
    export PYTHONDONTWRITEBYTECODE=1 BENCH_DATABASE=$folder/django.db
    "$python/python" bench/verify/peers/django/peer.py "$folder/peer_drf.txt" "$BENCH_DATABASE"
    start peer_drf "$server_core" "$python/gunicorn" --chdir bench/verify/peers/django \
        --bind 127.0.0.1:0 --workers 1 --worker-class gthread --threads 4 --keep-alive 60 \
        --no-control-socket peer:application
}

# start NAME CORE COMMAND…: and waits until it says where it listens.
start() {
    launch "$@"
    wait_until "$1" says_where_it_listens
}

# start_at URL NAME CORE COMMAND…: for one that does not say.
start_at() {
    launch "${@:2}"
    url[$2]=$1
    wait_until "$2" accepts_connections
}

launch() {
    taskset --cpu-list "$2" "${@:3}" >"$folder/$1.log" 2>&1 &
    pid[$1]=$!
}

# wait_until NAME CONDITION: as long as there is a process that could make it true.
wait_until() {
    local deadline=$((SECONDS + patience))
    until "$2" "$1"; do
        kill -0 "${pid[$1]}" 2>/dev/null || fail "$1 ended: $(tail -n 5 "$folder/$1.log")"
        ((SECONDS < deadline)) || fail "$1: after $patience s it is not so that it ${2//_/ }"
        sleep 0.1
    done
}

says_where_it_listens() {
    # Not any address: a gateway may tell that of its upstream before its own.
    url[$1]=$(grep -sEiom1 '(^|listening [a-z]+:? )http://127\.0\.0\.1:[0-9]+' "$folder/$1.log" |
        grep -o 'http:.*')
}

accepts_connections() {
    curl -s -o /dev/null --max-time 5 "${url[$1]}"
}

every_key_is_loaded() {
    curl -sf -o /dev/null --max-time 5 "${url[$1]}/readyz"
}

# Ends what was started and waits for it, so that nothing is written to a folder that goes away.
clean_up() {
    local process
    for process in "${pid[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    for process in "${pid[@]}"; do
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Requests.

make_requests() {
    credentials million
    if [[ -n ${url[ed25519]:-} ]]; then
        mkdir "$folder/signed"
        credentials ed25519 "$folder/signed" token
    fi
    mkdir "$folder/of_thousand"
    credentials thousand "$folder/of_thousand" key
    if [[ -n $with_peers ]]; then
        cp "$folder/key.txt" "$folder/peer_lua.txt"
    fi
}

# credentials SERVER [FOLDER [KIND…]]
credentials() {
    python3 bench/verify/credentials.py "${url[$1]}" "$folder/$1.admin" \
        "$folder/$1.keys" "${2:-$folder}" "${@:3}"
}

# Measurements.

# Once through everything for a second, and every credential once: what is slow only the first time,
# and what is wrong, is found out here.
warm_up() {
    if [[ $smoke == 1 ]]; then
        return
    fi
    heading "Warming up"
    a_round 0 1 1000 "$folder/warm-up"
}

measure_all() {
    heading "Measuring: $rounds rounds"
    local number
    : >"$folder/results"
    for number in $(seq "$rounds"); do
        a_round "$number" "$seconds" "$((smoke ? 300 : 50))" "$folder/results"
        echo "Round $number of $rounds is over after $SECONDS s."
    done
    if [[ -n $results ]]; then
        cp "$folder/results" "$results"
    fi
}

# a_round NUMBER SECONDS SAMPLE RESULTS
a_round() {
    local peer
    of_round=(--round "$1" --seconds "$2" --sample "$3" --results "$4")
    forward_auth key million key
    run thousand thousand of_thousand/key
    run audit_all audit_all key
    forward_auth token_first token_first token
    forward_auth token million token
    forward_auth session million session
    forward_auth wrong_nobody million wrong_nobody 401
    forward_auth wrong_secret million wrong_secret 401

    run hello hello plain
    run nginx_static nginx_static application 200 million
    run proxy_pass proxy_pass application
    run gateway gateway application
    run proxy_checked proxy_checked application 200 million

    # Of what follows no promise is made: every second round is enough.
    if (($1 == 0 || $1 % 2 == 1)); then
        forward_auth key_alone million key_alone
        forward_auth ed25519_first ed25519 signed/token
        for peer in peer_lua peer_fastify peer_fastify_cached peer_better_auth peer_drf; do
            run "$peer" "$peer" "$peer"
        done
    fi
}

# forward_auth ROW SERVER REQUESTS [STATUS]: with a run of bare axum before it.
forward_auth() {
    if [[ -z ${url[$2]:-} ]]; then
        return
    fi
    if [[ -n $plain_hello ]]; then
        run "hello:$1" hello plain
    else
        run "hello:$1" hello "$3"
    fi
    run "$@"
}

# run ROW SERVER REQUESTS [STATUS [SERVER]]: the second server works for the first one.
run() {
    if [[ -z ${url[$2]:-} ]] || ! wants "${1#hello:}"; then
        return
    fi
    local processes=(--pid "${pid[$2]}")
    if [[ -n ${5:-} ]]; then
        processes+=(--pid "${pid[$5]}")
    fi
    python3 bench/verify/measure.py --row "$1" "${of_round[@]}" --url "${url[$2]}" \
        --requests "$folder/$3.txt" --expect "${4:-200}" "${processes[@]}" --core "$load_core" \
        --connections "$connections" ||
        fail "$1 could not be measured: $(tail -n 3 "$folder/$2.log")"
}

# How many uses are lost when the server is killed: of another server, since it is killed.
count_after_kill() {
    uncounted=
    if ! wants uncounted; then
        return
    fi
    heading "Uses that are lost with kill -9"
    local tries=5
    if [[ $smoke == 1 ]]; then
        tries=1
    fi
    # Without a figure the report says that there is none, and what is wrong has been told.
    uncounted=$(python3 bench/verify/uncounted.py "$binary" "$folder/killed" "$tries") || true
}

# Reporting.

describe_machine() {
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc --all) cores;" \
        "$(uname -sr); $(rustc --version | cut -d ' ' -f 1-2);" \
        "$(PATH=$PATH:/usr/sbin nginx -v 2>&1 | sed 's/.*: //');" \
        "$(dpkg-query -W -f 'wrk ${Version}' wrk 2>/dev/null || echo wrk);" \
        "node $(node --version 2>/dev/null || echo none)"
    echo "$keys keys, $connections connections, $rounds rounds of $seconds s; the median counts"
    echo
}

report() {
    local options=(--keys "$keys")
    if [[ -n $rows ]]; then
        options+=(--partial)
    fi
    if [[ $smoke == 1 ]]; then
        options+=(--smoke)
    fi
    if [[ -n $uncounted ]]; then
        options+=(--uncounted "$uncounted")
    fi
    python3 bench/verify/report.py "$folder/results" "${options[@]}"
}

heading() {
    printf '\n==> %s\n' "$1"
}

fail() {
    echo "bench/verify.sh: $1" >&2
    exit 1
}

main "$@"
