#!/usr/bin/env bash
# A million keys and ten million audit records: how long it takes to make them, to start on them, and
# to read a page of keys or of a key's log. Prints the table that docs/performance.md shows.
#
#   bench/scale.sh [KEYS] [RECORDS]      # 1000000 10000000 unless said; about 3 GB of disk
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

keys=${1:-1000000}
records=${2:-10000000}
folder=$(mktemp -d)
server=
trap 'if [[ -n $server ]]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$folder"' EXIT

cargo build --release --quiet --locked --package sealgate
cargo build --release --quiet --locked --package sealgate-store --example fill_log
sealgate() { ./target/release/sealgate --data-dir "$folder" "$@"; }
now_ms() { date +%s%3N; }

admin=$(sealgate --quiet create --name "Admin" --admin)

start=$(now_ms)
seq "$keys" | sed 's/.*/{"name":"Worker &","permissions":"api:read api:write"}/' |
    sealgate create --from - >"$folder/keys.jsonl" 2>/dev/null
echo "make $keys keys: $((($(now_ms) - start))) ms"

start=$(now_ms)
./target/release/examples/fill_log "$folder" "$records" >/dev/null
echo "write $records audit records: $((($(now_ms) - start))) ms"

start=$(now_ms)
./target/release/sealgate --data-dir "$folder" serve --listen 127.0.0.1:0 2>"$folder/log" &
server=$!
while ! base=$(grep -om1 'http://127.0.0.1:[0-9]*' "$folder/log"); do sleep 0.005; done
key=$(sed -n "$((keys / 2))p" "$folder/keys.jsonl" | sed 's/.*"api_key":"\([^"]*\)".*/\1/')
curl -sf -o /dev/null -H "X-API-Key: $key" "$base/api/auth/profile"
echo "start with $keys keys to the first request answered: $((($(now_ms) - start))) ms"
until curl -sf -o /dev/null "$base/readyz"; do sleep 0.02; done
echo "… to every key in memory: $((($(now_ms) - start))) ms"
echo "resident memory: $(awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$server/status") MB"

# The slowest and the median of 21 requests, in milliseconds.
times() {
    for _ in $(seq 21); do
        curl -s -o "$folder/answer" -w '%{time_total} %{http_code}\n' -H "X-API-Key: $admin" "$base$1"
    done | sort -n | awk -v what="$1" '
        $2 != 200 { bad = 1 }
        { t[NR] = $1 * 1000 }
        END { printf "GET %s: median %.1f ms, slowest %.1f ms%s\n", what, t[11], t[21], bad ? " (FAILED)" : "" }'
}
id=$(sed -n "$((keys / 3))p" "$folder/keys.jsonl" | sed 's/.*"key_id":"\([^"]*\)".*/\1/')
times "/api/auth/keys"
cursor=$(jq -r .next_cursor "$folder/answer" 2>/dev/null || true)
times "/api/auth/keys?limit=1000"
times "/api/auth/keys?cursor=$cursor"
times "/api/auth/keys?status=active"
times "/api/auth/keys?status=revoked"
times "/api/auth/keys?environment=testing&status=active"
times "/api/auth/keys?q=worker%205"
times "/api/auth/keys?due=true"
times "/api/auth/keys/$id/logs"
for _ in 1 2 3 4 5; do
    start=$(now_ms)
    sealgate logs --id "$id" >/dev/null
    echo "sealgate logs --id: $(($(now_ms) - start)) ms, the program's start included"
done
