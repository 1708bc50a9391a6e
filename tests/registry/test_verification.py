"""Published packs imported in a jail: what they show becomes verified, what they try comes to nothing."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from noderack_registry.client import RegistryClient
from noderack_registry.jail import JailError, Limits, run
from noderack_registry.server import serving, throwaway, verdicts, verification
from noderack_registry.server.refusals import Refusal
from noderack_registry.server.settings import Verifying
from wheels import write_wheel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the jail is made of Linux's walls")
LIMITS = Limits(seconds=30, memory=2 << 30)

NODE = """
class Grain:
    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "amount": ("FLOAT", {"default": 0.5})}}
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "run"
    CATEGORY = "film"
    def run(self, image, amount):
        return (image,)
"""
TWO = NODE + "NODE_CLASS_MAPPINGS = dict.fromkeys(['Grain' + end for end in ('', 'Fine')], Grain)"


@pytest.fixture
def verifying(make_bench):
    """A registry whose verifier is this very Python; skipped where no jail can be built."""
    try:
        run([sys.executable, "-c", ""], shown=[Path(sys.prefix), Path(sys.base_prefix)], limits=LIMITS)
    except JailError as cause:
        pytest.skip(f"no jail on this machine: {cause}")
    return make_bench(verifying=Verifying(index="none", limits=LIMITS))


def publish(bench, tmp_path, code, name="grain", **more):
    return bench.client(bench.token()).upload_wheel(write_wheel(tmp_path, name, code=code, **more))


def verify(bench, name="grain", version="1.0"):
    verifier = verification.verifier_of(bench.registry)
    return verification.verify(bench.registry, verifier, name, version)


def test_types_that_appear_are_verified_with_their_schema(verifying, tmp_path):
    publish(verifying, tmp_path, TWO, facts={"node_types": {"Grain": {}}})
    outcome = verify(verifying)
    assert (outcome.status, outcome.reason) == ("verified", "2 node types appeared")
    version = verifying.client().version("grain", "1.0")
    assert version.origins == {"Grain": "verified", "GrainFine": "verified"}
    assert version.node_types["GrainFine"]["input"]["required"]["amount"] == ["FLOAT", {"default": 0.5}]
    assert version.verification.barriers["network"] == "stood"
    assert version.verification.types == ("Grain", "GrainFine")
    (claim,) = verifying.client().node_type("GrainFine")
    assert (claim.origin, claim.reason) == ("verified", "seen by importing it; the only claim")
    events = [change.kind for change in verifying.client().changes(0, 100)]
    assert events[-1] == "version-verified"


@pytest.mark.slow
def test_verified_ranks_above_declared(verifying, tmp_path):
    code = NODE + "NODE_CLASS_MAPPINGS = {'Grain': Grain}"
    bob = verifying.client(verifying.token("bob"))
    bob.upload_wheel(write_wheel(tmp_path, "alpha", types=("Other",)))
    publish(verifying, tmp_path, code)
    bob.upload_wheel(write_wheel(tmp_path, "alpha", "1.1", types=("Grain",)))

    def same_age(session):
        from noderack_registry.server.tables import Claim
        from sqlmodel import select

        for claim in session.exec(select(Claim).where(Claim.type == "Grain")).all():
            claim.newcomer, claim.since = False, "2026"

    verifying.registry.database.writing(same_age)
    assert [claim.pack for claim in verifying.client().node_type("Grain")] == ["alpha", "grain"]
    verify(verifying)
    found = verifying.client().node_type("Grain")
    assert [(claim.pack, claim.origin) for claim in found] == [("grain", "verified"), ("alpha", "declared")]


HOSTILE = {
    "raises": ("raise ValueError('not today')", "failed", "ValueError: not today"),
    "leaves": ("import os; os._exit(0)", "failed", "ended the process with code 0"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "failed", "crashed the process (SIGSEGV)"),
    "hangs": ("while True: pass", "failed", "did not end within"),
    "eats": ("x = []\nwhile True: x.append(b'1' * 50_000_000)", "failed", "MemoryError"),
    "forges": (
        "print('{\"node_types\": {\"KSampler\": {}}}')\nNODE_CLASS_MAPPINGS = {'Grain': Grain}",
        "verified",
        "1 node types appeared",
    ),
    "lies": ("NODE_CLASS_MAPPINGS = {'Other': Grain}", "partial", "1 of 2 node types appeared"),
    "writes beside itself": (
        "open(__file__ + '.cache', 'w').close()\nNODE_CLASS_MAPPINGS = {'Grain': Grain}",
        "verified",
        "1 node types appeared",
    ),
    "empty": ("NODE_CLASS_MAPPINGS = {}", "failed", ""),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_packs_harm_nobody_but_themselves(verifying, tmp_path, kind):
    code, status, said = HOSTILE[kind]
    limits = Limits(seconds=4, memory=512 << 20) if kind in ("hangs", "eats") else LIMITS
    settings = replace(verifying.settings, verifying=Verifying(index="none", limits=limits))
    publish(verifying, tmp_path, NODE + code)
    verifier = verification.verifier_of(verifying.registry)
    outcome = verification.verify(replace(verifying.registry, settings=settings), verifier, "grain", "1.0")
    assert (outcome.status, said in outcome.reason or outcome.reason) == (status, True)
    page = verifying.http.get("/api/v1/packs/grain/versions/1.0/verification").json()["verification"]
    assert (page["status"], page["reason"]) == (outcome.status, outcome.reason)
    assert "KSampler" not in verifying.client().version("grain", "1.0").node_types
    assert not verifying.registry.incoming.exists() or not any(verifying.registry.incoming.iterdir())


def test_secrets_network_and_the_registrys_own_files_are_out_of_reach(verifying, tmp_path, monkeypatch):
    monkeypatch.setenv("NODERACK_TOKEN", "ndr_secret")
    data = verifying.settings.data
    code = f"""
import os, socket
seen = dict(os.environ)
reached = []
tries = [lambda: open({str(data / "registry.db")!r}).read(1), lambda: open({str(tmp_path / "x")!r}, "w")]
tries += [lambda: socket.create_connection(("127.0.0.1", 9)), lambda: os.listdir({str(data)!r})]
for work in tries:
    try: reached.append(work())
    except OSError: pass
NODE_CLASS_MAPPINGS = {{f"Grain {{sorted(seen)}} {{reached}}": Grain}}
"""
    publish(verifying, tmp_path, NODE + code, types=(), facts={"library": True})
    (name,) = verify(verifying).types
    assert "NODERACK_TOKEN" not in name
    assert name.endswith("[]")


@pytest.mark.slow
def test_packs_that_it_needs_come_from_here_and_nothing_else_comes(verifying, tmp_path):
    shared = write_wheel(tmp_path, "shared", code="VALUE = 'Grain'\n", types=(), facts={"library": True})
    verifying.client(verifying.token()).upload_wheel(shared)
    code = NODE + "from shared import VALUE\nNODE_CLASS_MAPPINGS = {VALUE: Grain}"
    publish(verifying, tmp_path, code, extra="Requires-Dist: shared>=1\nRequires-Dist: numpy\n")
    assert verify(verifying).status == "verified"
    needs = "Requires-Dist: shared>=2\n"
    publish(verifying, tmp_path, code, "other", extra=needs)
    outcome = verify(verifying, "other")
    assert (outcome.status, outcome.reason) == ("failed", "no version of shared here fits shared>=2")
    publish(verifying, tmp_path, NODE + "import not_there", "third", extra="Requires-Dist: not-there\n")
    assert "not_there" in verify(verifying, "third").reason


def test_a_python_without_a_host_is_told(verifying):
    with pytest.raises(Refusal, match="cannot import noderack_host"):
        throwaway.look_at(Path("/usr/bin/false"))


def test_who_may_ask_and_what_waits(verifying, tmp_path):
    publish(verifying, tmp_path, NODE)
    address = "/api/v1/packs/grain/versions/1.0/verification"
    assert verifying.http.get(address).json() == {"verification": None}
    for account, status in (("bob", 403), ("ann", 202)):
        token = {"Authorization": f"Bearer {verifying.token(account)}"}
        assert verifying.http.post(address, headers=token).status_code == status
    assert verifying.http.get(address).json()["verification"]["status"] == "waiting"
    now = verifying.settings.now()
    take = lambda: verifying.registry.database.writing(verdicts.take_next, now)
    assert (take(), take()) == (("grain", "1.0"), None)


def test_the_service_verifies_what_is_uploaded(verifying, tmp_path):
    token = verifying.token()
    settings = replace(verifying.settings, verifying=replace(verifying.settings.verifying, on=True))
    with serving(settings) as url, RegistryClient(url, token) as client:
        code = NODE + "NODE_CLASS_MAPPINGS = {'Grain': Grain}"
        client.upload_wheel(write_wheel(tmp_path, code=code))
        for _ in range(100):
            found = client.version("grain", "1.0").verification
            if found and found.status not in ("waiting", "running"):
                break
            time.sleep(0.3)
        assert found.status == "verified"
        assert json.dumps(found.to_json())
