"""Revokes keys through one node and asks the others, one key after another.

    python measure.py --limit MILLISECONDS --admin FILE --keys FILE URL URL…

The first URL is the node that revokes. Each of the others is asked without a pause, on a connection and
a thread of its own, from before the revoke on. What is measured is the time from the arrival of the
revoke's answer to the arrival of the first refusal, which is a little more than how long the key was
honoured. The last answer before that says how long it was honoured for certain.
"""

import argparse
import http.client
import json
import sys
import threading
import time
import urllib.parse

# How long a key may take to be refused before this gives up, in seconds.
PATIENCE = 10

# Revokes that were not acknowledged, and were sent again.
repeated = []


def main():
    asked = arguments()
    with open(asked.admin, encoding="ascii") as file:
        admin = file.read().strip()
    with open(asked.keys, encoding="ascii") as file:
        keys = [json.loads(line) for line in file]
    revoking, *others = [connect(url) for url in asked.urls]
    refused, honoured = [], []
    for key in keys:
        for took in one(revoking, others, admin, key):
            refused.append(took[0])
            honoured.append(took[1])
    print(f"{len(keys)} revokes, {len(refused)} times until another node refused, in ms:")
    tell("until the first refusal", refused)
    tell("until the last yes was asked for", honoured)
    if repeated:
        print(f"  revokes that were answered 503 and sent again: {len(repeated)}")
    over = sum(took > asked.limit / 1000 for took in refused)
    if over:
        sys.exit(f"{over} took longer than {asked.limit} ms")


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", required=True, type=int)
    parser.add_argument("--admin", required=True)
    parser.add_argument("--keys", required=True)
    parser.add_argument("urls", nargs="+")
    return parser.parse_args()


def connect(url):
    parts = urllib.parse.urlsplit(url)
    return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)


def one(revoking, others, admin, key):
    """Revokes a key; for each other node, the seconds until it refused, and until the last yes."""
    secret = key["api_key"]
    outcomes = [None] * len(others)
    askers = [
        threading.Thread(target=ask, args=(node, secret, outcomes, at))
        for at, node in enumerate(others)
    ]
    for node in others:
        deadline = time.monotonic() + PATIENCE
        while (answer := status(node, secret)) != 200:
            if answer != 503 or time.monotonic() > deadline:
                sys.exit(f"a key is answered {answer} before it was revoked")
    for asker in askers:
        asker.start()
    path = f"/api/auth/keys/{key['key']['key_id']}/revoke"
    answer = send(revoking, "POST", path, admin, "{}")
    at = time.monotonic()
    while answer == 503:
        # Not acknowledged: a node that has had no news for a second changes nothing.
        repeated.append(path)
        time.sleep(0.1)
        answer = send(revoking, "POST", path, admin, "{}")
        at = time.monotonic()
    if answer != 200:
        sys.exit(f"a revoke was answered {answer}")
    for asker in askers:
        asker.join()
    if None in outcomes:
        sys.exit(f"a key was honoured for {PATIENCE} s")
    return [(max(0, refusal - at), max(0, yes - at)) for refusal, yes in outcomes]


def ask(node, secret, outcomes, at):
    """Asks until the key is refused; leaves when the refusal arrived and the last yes was asked for."""
    last_yes, deadline = time.monotonic(), time.monotonic() + 2 * PATIENCE
    while time.monotonic() < deadline:
        begin = time.monotonic()
        answer = status(node, secret)
        if answer == 401:
            outcomes[at] = (time.monotonic(), last_yes)
            return
        if answer != 200:
            # Nobody passes, so that nothing is honoured; the refusal is waited for all the same.
            continue
        last_yes = begin


def status(node, secret):
    return send(node, "GET", "/api/auth/verify", secret)


def send(node, method, path, secret, body=None):
    headers = {"X-API-Key": secret}
    if body is not None:
        headers["Content-Type"] = "application/json"
    node.request(method, path, body=body, headers=headers)
    response = node.getresponse()
    response.read()
    return response.status


def tell(what, seconds):
    in_order = sorted(took * 1000 for took in seconds)

    def quantile(share):
        return in_order[min(len(in_order) - 1, int(len(in_order) * share))]

    print(
        f"  {what}: min {in_order[0]:.1f}, median {quantile(0.5):.1f}, p90 {quantile(0.9):.1f}, "
        f"p99 {quantile(0.99):.1f}, p99.9 {quantile(0.999):.1f}, max {in_order[-1]:.1f}"
    )


if __name__ == "__main__":
    main()
