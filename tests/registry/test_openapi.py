"""The OpenAPI description is true: schemathesis asks everything that it allows, and gets what it promises."""

from __future__ import annotations

import importlib.util

import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, settings
from noderack_registry.server import routes
from wheels import write_wheel

LACKING = importlib.util.find_spec("schemathesis") is None


def test_every_route_is_described(bench):
    described = bench.http.get("/openapi.json").json()["paths"]
    assert len(described) >= 25
    for path, methods in described.items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} has no description"
            assert {"4XX", "5XX"} <= set(operation["responses"]), path


@pytest.mark.skipif(LACKING, reason="schemathesis is not installed")
@pytest.mark.parametrize("examples", [8, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("who", ["admin", "nobody"])
@pytest.mark.timeout(1800)
def test_it_is_true(bench, tmp_path, examples, who):
    import schemathesis
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    bench.client(bench.token()).upload_wheel(write_wheel(tmp_path))
    headers = bench.admin() if who == "admin" else {}
    wanted = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    bench.http.__enter__()
    api = schemathesis.openapi.from_asgi("/openapi.json", bench.app)
    asked = 0
    limits = settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    for result in api.get_all_operations():
        operation = result.ok()

        @limits
        @schemathesis_given(operation)
        def ask(case):
            nonlocal asked
            asked += 1
            case.call_and_validate(headers=headers, checks=wanted)

        ask()
    assert asked >= 25 * examples // 2


def schemathesis_given(operation):
    from hypothesis import given

    return given(case=operation.as_strategy())


HIDDEN = (
    "/nodes",
    "/comfy-nodes",
    "/bulk",
    "/publishers",
    "/upload",
    "/channel",
    "/simple",
    "/legacy",
    "/metrics",
)


def test_no_route_is_left_out_by_mistake():
    """Hidden are the existing registry's own addresses, second spellings, HEAD of files, and the metrics."""
    every = [route for router in routes.ALL for route in router.routes if isinstance(route, APIRoute)]
    hidden = {route.path for route in every if not route.include_in_schema and route.methods != {"HEAD"}}
    assert len(every) > 50
    assert hidden
    assert all(path.startswith(HIDDEN) for path in hidden)
