"""Measures one server once, with wrk, and adds the figures to a file as a line of JSON.

    python measure.py --row ROW --round N --results FILE --url URL --requests FILE --expect STATUS
        --pid PID [--pid PID] --core N --seconds N --connections N --sample N

Before and after, some of the requests are sent one by one, and each has to be answered with the status
that is expected. The processor time is that of the processes and their children, system calls included.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import time
import urllib.parse

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "requests.lua")


def main():
    asked = arguments()
    with open(asked.requests, encoding="ascii") as file:
        requests = [line.rstrip("\n").split("\t") for line in file]
    try_out(asked, requests)
    figures = measured(asked)
    try_out(asked, requests)
    figures |= {"row": asked.row, "round": asked.round}
    with open(asked.results, "a", encoding="ascii") as results:
        results.write(json.dumps(figures) + "\n")


def arguments():
    parser = argparse.ArgumentParser()
    for text in ("row", "results", "url", "requests", "core"):
        parser.add_argument(f"--{text}", required=True)
    for number in ("round", "expect", "seconds", "connections", "sample"):
        parser.add_argument(f"--{number}", required=True, type=int)
    parser.add_argument("--pid", action="append", required=True, type=int)
    return parser.parse_args()


def try_out(asked, requests):
    """Sends some of the requests, and ends everything if one is answered otherwise than it should be:
    a server that refuses is fast, and its figures are worth nothing."""
    address = urllib.parse.urlsplit(asked.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    for method, path, *headers in random.sample(requests, min(asked.sample, len(requests))):
        connection.request(method, path, headers=dict(line.split(": ", 1) for line in headers))
        response = connection.getresponse()
        response.read()
        if response.status != asked.expect:
            sys.exit(
                f"{asked.row}: {method} {path} was answered {response.status}, not {asked.expect}"
            )
    connection.close()


def measured(asked):
    before = processor_time(asked.pid)
    answer = subprocess.run(
        ["taskset", "--cpu-list", asked.core]
        + ["wrk", "--threads", "1", "--connections", str(asked.connections)]
        + ["--duration", f"{asked.seconds}s", "--latency", "--script", SCRIPT]
        + [asked.url, "--", asked.requests],
        check=False,
        capture_output=True,
        text=True,
        timeout=asked.seconds + 60,
    )
    spent = processor_time(asked.pid) - before
    if answer.returncode != 0:
        sys.exit(f"{asked.row}: wrk failed: {answer.stderr or answer.stdout}")
    told = json.loads(answer.stdout.splitlines()[-1])
    count = told["requests"]
    if count == 0:
        sys.exit(f"{asked.row}: nothing was answered in {asked.seconds} s")
    # wrk calls everything from 400 on an error, and nothing below.
    as_expected = told["refused"] if asked.expect >= 400 else count - told["refused"]
    return {
        "requests_per_second": count / told["microseconds"] * 1e6,
        "cpu_microseconds": spent / count / 1e3,
        "p50_microseconds": told["p50"],
        "p99_microseconds": told["p99"],
        "requests": count,
        "unexpected": count - as_expected + told["broken"],
    }


def processor_time(processes):
    """What the processes and their children have used so far, in nanoseconds."""
    # The clock of another process: clock_getcpuclockid(3) makes its number in this way.
    return sum(
        time.clock_gettime_ns((~process << 3) | 2)
        for parent in processes
        for process in family(parent)
    )


def family(process):
    yield process
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as children:
        for child in children.read().split():
            yield from family(int(child))


if __name__ == "__main__":
    main()
