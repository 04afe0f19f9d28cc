"""Makes the requests that the plane is measured with: a thousand of each kind, one a line, as
requests.lua reads them.

    python credentials.py URL ADMIN KEYS FOLDER [KIND...]

URL is a running server, ADMIN a file with an administrator's key, KEYS one with a managed key a line,
FOLDER where the files go. Each kind is a file, KIND.txt; all of them unless some are named.
"""

import http.client
import json
import random
import sys
import time
import urllib.parse
import zlib

COUNT = 1_000
USERS = 50
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VERIFY = "/api/auth/verify"
# What a proxy says of its client's request.
TOLD = ["X-Original-Method: GET", "X-Original-URI: /orders/17?page=2"]
PASSWORD = "correct horse battery staple"


def main():
    url, admin_file, keys_file, folder, *kinds = sys.argv[1:]
    with open(admin_file, encoding="ascii") as file:
        server = Server(url, file.read().strip())
    keys = drawn_from(keys_file)
    for kind in kinds or KINDS:
        requests = KINDS[kind](server, keys)
        with open(f"{folder}/{kind}.txt", "w", encoding="ascii") as file:
            file.writelines("\t".join(request) + "\n" for request in requests)


def drawn_from(keys_file):
    """As many keys as are needed, evenly from all over the file: they are told apart by where they
    are in the server's memory."""
    with open(keys_file, encoding="ascii") as file:
        keys = file.read().split()
    if len(keys) < COUNT:
        sys.exit(f"{keys_file} has {len(keys)} keys, and {COUNT} are needed")
    return keys[:: len(keys) // COUNT][:COUNT]


# The kinds.


def plain(_server, _keys):
    return [["GET", "/"]]


def managed_keys(_server, keys):
    return [verify(f"X-API-Key: {key}") for key in keys]


def managed_keys_alone(_server, keys):
    return [["GET", VERIFY, f"X-API-Key: {key}"] for key in keys]


def keys_at_the_application(_server, keys):
    return [["GET", "/hello.txt", f"X-API-Key: {key}"] for key in keys]


def access_tokens(server, keys):
    return [verify(f"Authorization: Bearer {server.token(key)}") for key in keys]


def sessions(server, _keys):
    users = [f"user{number}" for number in range(USERS)]
    for user in users:
        server.make_user(user)
    requests = []
    for number in range(COUNT):
        seal_key = f"gml_{int(time.time())}_{random.randbytes(32).hex()}"
        token = server.session(users[number % USERS], seal_key)
        requests.append(verify(f"Authorization: Bearer {token}", f"x-gomaluum-key: {seal_key}"))
    return requests


def keys_of_nobody(_server, _keys):
    return [verify(f"X-API-Key: {made_up(characters(8))}") for _ in range(COUNT)]


def keys_with_another_secret(_server, keys):
    return [verify(f"X-API-Key: {made_up(key[:8])}") for key in keys]


KINDS = {
    "plain": plain,
    "key": managed_keys,
    "key_alone": managed_keys_alone,
    "application": keys_at_the_application,
    "token": access_tokens,
    "session": sessions,
    "wrong_nobody": keys_of_nobody,
    "wrong_secret": keys_with_another_secret,
}


def verify(*headers):
    return ["GET", VERIFY, *headers, *TOLD]


def made_up(prefix):
    """A key that is well-formed, checksum included, and nobody's."""
    body = f"{prefix}.{characters(35)}"
    rest, checksum = zlib.crc32(body.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        checksum = DIGITS[digit] + checksum
    return body + checksum


def characters(count):
    return "".join(random.choices(DIGITS, k=count))


class Server:
    """A running server, on one connection."""

    def __init__(self, url, admin_key):
        parts = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
        self.admin_key = admin_key

    def token(self, key):
        return self.post("/api/auth/token", {"X-API-Key": key})["token"]

    def make_user(self, name):
        user = {
            "username": name,
            "password": PASSWORD,
            "display_name": "Ada Lovelace",
            "email": f"{name}@example.com",
            "roles": ["student"],
            "attributes": {"portal": "d1f0c9a7e5b34c2f8a6e", "semester": 3},
        }
        self.post("/api/users", {"X-API-Key": self.admin_key}, user)

    def session(self, user, seal_key):
        credentials = {"username": user, "password": PASSWORD}
        answer = self.post("/api/auth/login", {"x-gomaluum-key": seal_key}, credentials)
        return answer["data"]["token"]

    def post(self, path, headers, body=None):
        text = None if body is None else json.dumps(body)
        kind = {} if body is None else {"Content-Type": "application/json"}
        self.connection.request("POST", path, body=text, headers={**headers, **kind})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status not in (200, 201):
            sys.exit(f"POST {path} was answered {response.status}: {answer.decode()}")
        return json.loads(answer)


if __name__ == "__main__":
    main()
