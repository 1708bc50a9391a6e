"""uv's chains of causes become one sentence: what could not be brought, why, what to do."""

import pytest
from noderack_cli.uv_said import sentence

URL = "http://127.0.0.1:1/files/lib-1.0-py3-none-any.whl"
FAILED = "Using CPython 3.11.7 at: /h/bin/python\nResolved 1 package in 70ms\nerror: Failed to download"
CHAINS = {
    "an answer of a server": (
        f"{FAILED} `lib==1.0`\n  cause: Failed to fetch: {URL}\n"
        f"  cause: HTTP status server error (500 Internal Server Error) for url ({URL})",
        f"{URL} answered 500 Internal Server Error",
        "try again later",
    ),
    "a cut": (
        f"{FAILED} `lib==1.0`\n  cause: Failed to write to the distribution cache\n"
        "  cause: error decoding response body\n  cause: end of file before message length reached",
        "the connection broke off while lib 1.0 came",
        "try again later",
    ),
    "other bytes": (
        f"{FAILED} `lib @ {URL}`\n  cause: Hash mismatch for `lib @ {URL}`\n\n"
        f"   Expected:\n     sha256:{'0' * 64}\n\n   Computed:\n     sha256:{'3e' * 32}",
        "lib is not what its index promises: it has sha256:3e3e3e3e3e3e…, not sha256:000000000000…",
        "tell whoever runs that index",
    ),
    "no wheel": (
        f"{FAILED} `lib==1.0`\n  cause: Failed to extract archive: x\n  cause: Invalid zip file structure",
        "what came as lib 1.0 is no whole wheel (Invalid zip file structure)",
        "tell whoever runs that index",
    ),
    "anything else": ("error: the moon is full\n", "the moon is full", "The host is as it was."),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_causes_is_a_sentence(name: str) -> None:
    err, told, hint = CHAINS[name]
    said, next_step = sentence(err)
    assert said == told and hint in next_step
