"""How many uses are lost when the server is killed: asks as fast as it can, kills the server with
SIGKILL at a moment of no choosing, starts it again, and compares what it has counted with what it had
answered. Prints how many seconds' worth of answers were lost in the worst of the tries.

    python uncounted.py BINARY FOLDER TRIES

FOLDER is made, and holds the store. What each try came to goes to standard error. It ends non-zero, and
prints nothing, if a use was counted that was never asked for.
"""

import http.client
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

CLIENTS = 4
PATIENCE_SECONDS = 60


def main():
    binary, folder = map(os.path.abspath, sys.argv[1:3])
    tries = int(sys.argv[3])
    # The working directory of everything that is started, so that no other settings are found.
    os.mkdir(folder)
    admin_key = make(binary, folder, ["--name", "Admin", "--admin"])
    lost = [one_try(binary, folder, admin_key, number) for number in range(1, tries + 1)]
    print(f"{max(lost):.2f}")


def one_try(binary, folder, admin_key, number):
    """The seconds' worth of answers that were not counted."""
    keys = [
        make(binary, folder, ["--name", f"Try {number}", "--permissions", "api:read"])
        for _ in range(CLIENTS)
    ]
    with Server(binary, folder) as server:
        clients = [Client(server.port, key) for key in keys]
        for client in clients:
            client.start()
        time.sleep(random.uniform(2.0, 3.0))
        killed_at = time.monotonic()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for client in clients:
            client.join(PATIENCE_SECONDS)

    with Server(binary, folder) as server:
        counted = sum(use_count(server.port, admin_key, key) for key in keys)
    moments = sorted(moment for client in clients for moment in client.answered)
    asked = sum(client.asked for client in clients)
    if not moments or counted > asked:
        sys.exit(f"uncounted uses: {asked} asked, {len(moments)} answered, {counted} counted")
    return lost_seconds(number, killed_at, moments, counted)


def lost_seconds(number, killed_at, moments, counted):
    lost = max(0, len(moments) - counted)
    # Uses are written in their order: those that are lost are the last ones.
    seconds = max(0.0, killed_at - moments[-lost]) if lost else 0.0
    print(
        f"kill -9, {number}: {len(moments)} answered, {counted} counted: {lost} lost, the oldest"
        f" {seconds:.2f} s before",
        file=sys.stderr,
    )
    return seconds


class Client(threading.Thread):
    """Asks with one key until the server is gone."""

    def __init__(self, port, key):
        super().__init__(daemon=True)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.headers = {"X-API-Key": key}
        self.asked = 0
        self.answered = []

    def run(self):
        try:
            while True:
                self.asked += 1
                self.connection.request("GET", "/api/auth/verify", headers=self.headers)
                response = self.connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered.append(time.monotonic())
        except (OSError, http.client.HTTPException):
            # That is the kill.
            self.connection.close()


class Server:
    """A server on a port of its own, for as long as the block lasts."""

    def __init__(self, binary, folder):
        self.log_file = os.path.join(folder, "log")
        with open(self.log_file, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                [binary, "--data-dir", folder, "serve", "--listen", "127.0.0.1:0"],
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.port = None

    def __enter__(self):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                with open(self.log_file, encoding="utf-8") as log:
                    sys.exit(f"uncounted uses: the server did not start: {log.read()[-2000:]}")
            time.sleep(0.02)
        return self

    def is_ready(self):
        with open(self.log_file, encoding="utf-8") as log:
            told = re.search(r"listening on http://127\.0\.0\.1:(\d+)", log.read())
        if told is None:
            return False
        self.port = int(told[1])
        return answer(self.port, "/readyz", {})[0] == 200

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def make(binary, folder, options):
    made = subprocess.run(
        [binary, "--data-dir", folder, "--quiet", "create", *options],
        check=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return made.stdout.strip()


def use_count(port, admin_key, key):
    """How often a key was used, as the server says that was started again."""
    status, body = answer(port, f"/api/auth/keys?q={key[:8]}", {"X-API-Key": admin_key})
    if status != 200:
        sys.exit(f"uncounted uses: the list of keys was answered {status}: {body.decode()}")
    [found] = [item for item in json.loads(body)["keys"] if item["prefix"] == key[:8]]
    return found["use_count"]


def answer(port, path, headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body


if __name__ == "__main__":
    main()
