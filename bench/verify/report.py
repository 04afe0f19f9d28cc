"""Prints the tables of bench/verify.sh from what was measured, and what has become of each promise.
Ends with 1 if a promise is not kept, or could not be measured.

    python report.py RESULTS --keys N [--uncounted SECONDS] [--partial] [--smoke]

A ratio is that of two runs of one round, which follow each other; of the rounds' ratios the median is
told. With --partial it is no fault that something was not measured. With --smoke nothing is judged but
whether every answer was the one that was expected.
"""

import argparse
import json
import statistics
import sys
from collections import defaultdict

RATE, CPU, P99 = "requests_per_second", "cpu_microseconds", "p99_microseconds"

# What forward-auth is measured with: row, words, and the promises, if there are any: least of bare
# axum's requests a second, most microseconds of processor time more than it, most of its p99.
FORWARD_AUTH = [
    ("key", "a managed key", (0.95, 0.4, 1.2)),
    ("token_first", "an HS256 access token, first time", (0.80, 1.0, 1.2)),
    ("token", "… verified before", (0.92, 0.6, 1.2)),
    ("session", "a session token with its seal key, verified before", (0.85, 1.0, 1.3)),
    ("wrong_nobody", "a wrong key, nobody's prefix", (0.85, 1.0, 1.3)),
    ("wrong_secret", "a wrong key, somebody's prefix", (0.85, 1.0, 1.3)),
    ("key_alone", "a managed key, nothing told of the client's request", None),
    ("ed25519_first", "an Ed25519 access token, first time", None),
]

# What else: row, words, the row that it is compared with, words for that, least of its requests a
# second. What has to be ahead has a strict limit.
OTHERS = [
    ("nginx_static", "nginx `auth_request`, static file, one core", "hello", "bare axum", 0.25),
    ("gateway", "gateway mode", "proxy_pass", "nginx `proxy_pass`, no check", 0.9),
    ("gateway", "gateway mode", "proxy_checked", "nginx `proxy_pass`, `auth_request`", 1.0),
    ("audit_all", '`audit.requests = "all"`', "key", "a managed key, counted", 0.5),
    ("key", "a managed key of {keys}", "thousand", "one of 1,000", 0.95),
]
STRICT = {("gateway", "proxy_checked")}

PEERS = [
    ("key", "Sealgate: a managed key"),
    ("token", "Sealgate: an HS256 access token, verified before"),
    ("peer_lua", "nginx, Lua, one of {keys} keys in a shared dictionary"),
    ("peer_fastify", "fastify, `@fastify/jwt`, HS256"),
    ("peer_fastify_cached", "… with its cache"),
    ("peer_better_auth", "better-auth, API keys, in memory"),
    ("peer_drf", "djangorestframework-api-key, gunicorn, SQLite"),
]

UNCOUNTED_LIMIT_SECONDS = 1.0


def main():
    asked = arguments()
    runs = load(asked.results)
    promises = forward_auth(runs) + others(runs, asked.keys) + [uncounted(asked.uncounted)]
    peers(runs, asked.keys)
    if asked.partial:
        promises = [promise for promise in promises if promise.rounds]
    sys.exit(verdict(promises, surprises(runs), asked.smoke))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("results")
    parser.add_argument("--keys", type=int, required=True)
    parser.add_argument("--uncounted", type=float)
    parser.add_argument("--partial", action="store_true")
    parser.add_argument("--smoke", action="store_true")
    return parser.parse_args()


def load(file):
    """Of each row, its runs by round."""
    runs = defaultdict(dict)
    with open(file, encoding="ascii") as results:
        for line in results:
            run = json.loads(line)
            runs[run["row"]][run["round"]] = run
    return runs


class Promise:
    """What was promised of a figure, and the figure of each round: none if it could not be measured."""

    def __init__(self, words, rounds, limit, comparison, unit=""):
        self.words, self.rounds, self.limit = words, rounds, limit
        self.comparison, self.unit = comparison, unit

    @property
    def figure(self):
        return statistics.median(self.rounds) if self.rounds else None

    @property
    def is_kept(self):
        if self.figure is None or self.limit is None:
            return self.limit is None
        return {
            "≥": self.figure >= self.limit,
            ">": self.figure > self.limit,
            "≤": self.figure <= self.limit,
        }[self.comparison]

    def cell(self):
        if self.figure is None:
            return "not measured"
        told = f"{self.figure:.2f}{self.unit}"
        if self.limit is None:
            return told
        told = told if self.is_kept else f"**{told}**"
        return f"{told} ({self.comparison} {self.limit:g})"

    def line(self):
        mark = "kept  " if self.is_kept else "MISSED"
        if self.figure is None:
            return f"{mark}  {self.words}: not measured"
        spread = f"{min(self.rounds):.2f} to {max(self.rounds):.2f}"
        return (
            f"{mark}  {self.words}: {self.figure:.2f}{self.unit}, promised {self.comparison}"
            f" {self.limit:g} (rounds {spread})"
        )


# The tables.


def forward_auth(runs):
    table(
        "forward-auth of",
        "requests/s",
        "against bare axum",
        "server CPU a request, over bare axum's",
        "p99 against bare axum",
    )
    bare = runs["hello:key"]
    if bare:
        row("*bare axum*", rate(bare), "", f"{median(bare, CPU):.1f} µs in all", latency(bare))
    promises = []
    for name, words, limits in FORWARD_AUTH:
        if not runs[name] and limits is None:
            continue
        least, most_cpu, most_p99 = limits or (None, None, None)
        its, base = runs[name], runs[f"hello:{name}"]
        made = [
            Promise(f"{words}, requests/s", ratios(its, base, RATE), least, "≥"),
            Promise(f"{words}, CPU", differences(its, base, CPU), most_cpu, "≤", " µs"),
            Promise(f"{words}, p99", ratios(its, base, P99), most_p99, "≤"),
        ]
        row(words, rate(its), *(promise.cell() for promise in made))
        promises += made
    return [promise for promise in promises if promise.limit is not None]


def others(runs, keys):
    print()
    table(
        "what", "requests/s", "compared with", "its requests/s", "ratio", "CPU a request, of both"
    )
    promises = []
    for name, words, against, words_against, least in OTHERS:
        words = words.format(keys=f"{keys:,}")
        its, base = runs[name], runs[against]
        comparison = ">" if (name, against) in STRICT else "≥"
        promise = Promise(
            f"{words}, against {words_against}", ratios(its, base, RATE), least, comparison
        )
        both = f"{median(its, CPU):.1f}, {median(base, CPU):.1f} µs" if its and base else ""
        row(words, rate(its), words_against, rate(base), promise.cell(), both)
        promises.append(promise)
    return promises


def peers(runs, keys):
    if not any(runs[name] for name, _ in PEERS if name.startswith("peer")):
        return
    print()
    table("on one core", "requests/s", "against bare axum", "CPU a request", "p99")
    bare = runs["hello"]
    row("*bare axum*", rate(bare), "", f"{median(bare, CPU):.1f} µs", latency(bare))
    for name, words in PEERS:
        its = runs[name]
        if its:
            against = statistics.median(ratios(its, bare, RATE))
            words = words.format(keys=f"{keys:,}")
            row(words, rate(its), f"{against:.2f}", f"{median(its, CPU):.1f} µs", latency(its))


def uncounted(seconds):
    return Promise(
        "uncounted uses after kill -9, worst try",
        [] if seconds is None else [seconds],
        UNCOUNTED_LIMIT_SECONDS,
        "≤",
        " s",
    )


def surprises(runs):
    """Answers that were not the ones expected."""
    return [
        f"{name}, round {number}: {run['unexpected']} of {run['requests']} answers were unexpected"
        for name, rounds in runs.items()
        for number, run in rounds.items()
        if run["unexpected"] > 0
    ]


def verdict(promises, unexpected, is_smoke):
    print()
    if is_smoke:
        print("A smoke run: the figures mean nothing, and are not judged.")
    else:
        print("\n".join(promise.line() for promise in promises))
    print("\n".join(unexpected) or "Every answer was the one that was expected.")
    missed = 0 if is_smoke else sum(not promise.is_kept for promise in promises)
    if missed:
        print(f"{missed} of {len(promises)} promises are not kept.")
    return 1 if missed or unexpected else 0


# Figures.


def ratios(its, base, figure):
    return [its[n][figure] / base[n][figure] for n in its if n in base and base[n][figure]]


def differences(its, base, figure):
    return [its[n][figure] - base[n][figure] for n in its if n in base]


def median(rounds, figure):
    return statistics.median(run[figure] for run in rounds.values())


def rate(rounds):
    return f"{median(rounds, RATE):,.0f}" if rounds else "not measured"


def latency(rounds):
    return f"{median(rounds, P99) / 1e3:.1f} ms"


# Markdown.


def table(*titles):
    row(*titles)
    row(*("---" for _ in titles))


def row(*cells):
    print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
