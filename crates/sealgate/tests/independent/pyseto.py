"""Answers questions about session tokens with pyseto: one JSON object a line in, one a line out."""

import json
import os
import sys
from datetime import datetime, timedelta, timezone

import pyseto
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyseto import Key


def derive(question):
    return {"data_key": derived(question["seal_key"]).hex()}


def derived(seal_key):
    """RFC 5869. No salt is as many zeros as the hash is long (section 2.2)."""
    hkdf = HKDF(SHA256(), length=32, salt=None, info=b"sealgate v1 session data")
    return hkdf.derive(seal_key.encode())


def open(question):
    """Verifies a token and opens its data; `at` is "any time", or else its times are checked too."""
    key = Key.from_paserk(question["public"])
    checks = {"deserializer": json, "aud": "gomaluum"}
    if question["at"] == "any time":
        checks = {}
    try:
        outer = pyseto.decode(key, question["token"], **checks)
    except pyseto.VerifyError as error:
        return {"refused": "token", "why": str(error)}
    claims, footer = read(outer.payload), read(outer.footer)
    try:
        inner = pyseto.decode(
            Key.new(4, "local", derived(question["seal_key"])),
            claims["data"],
            implicit_assertion=claims["jti"].encode(),
        )
    except pyseto.DecryptError as error:
        return {"refused": "data", "why": str(error)}
    kid = key.to_paserk_id()
    return {"kid": kid, "claims": claims, "footer": footer, "data": json.loads(inner.payload)}


def read(part):
    return part if isinstance(part, dict) else json.loads(part)


def seal(question):
    """An inner token, bound to what is asserted."""
    key = Key.new(4, "local", derived(question["seal_key"]))
    return {"token": encoded(key, question["data"], "", question["assertion"])}


def sign(question):
    """A token of claims, some of them shifted by so many seconds, as a key of `version` makes it."""
    claims = question["claims"]
    for name, seconds in question.get("shift", {}).items():
        claims[name] = shifted(claims[name], seconds)
    key = keys()[question["version"]] if "version" in question else Key.from_paserk(question["secret"])
    return {"token": encoded(key, claims, question["footer"])}


def encoded(key, payload, footer, assertion=""):
    payload = json.dumps(payload, separators=(",", ":")).encode()
    footer = json.dumps(footer, separators=(",", ":")).encode() if footer else b""
    # Versions before the third know no implicit assertion.
    assertion = {"implicit_assertion": assertion.encode()} if assertion else {}
    return pyseto.encode(key, payload, footer=footer, **assertion).decode()


def shifted(moment, seconds):
    moment = datetime.fromisoformat(moment.replace("Z", "+00:00")) + timedelta(seconds=seconds)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def keys():
    """A key of every kind that there is, by the header of its tokens."""
    made = {f"v{version}.local": Key.new(version, "local", os.urandom(32)) for version in (1, 2, 3, 4)}
    seed = os.urandom(32)
    for version in (2, 4):
        made[f"v{version}.public"] = Key.from_asymmetric_key_params(version, d=seed)
    p384 = ec.generate_private_key(ec.SECP384R1())
    pem = p384.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made["v3.public"] = Key.new(3, "public", pem)
    return made


ANSWERS = {"derive": derive, "open": open, "seal": seal, "sign": sign}

for line in sys.stdin:
    question = json.loads(line)
    print(json.dumps(ANSWERS[question["ask"]](question)))
