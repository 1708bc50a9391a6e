"""What tests say of how far they are from a reference is summed up at the end of a run."""

from collections.abc import Callable
from typing import Any

import pytest

APART = "apart from "
Record = Callable[[str, float], None]


@pytest.fixture
def apart(record_property: Callable[[str, object], None]) -> Record:
    """Notes how far a case is from the reference that is named, as a share of the largest value there."""
    return lambda reference, share: record_property(f"{APART}{reference}", share)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """For each reference, how many comparisons there were and the largest distance."""
    found: dict[str, list[float]] = {}
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        if getattr(report, "when", "") != "call":
            continue
        for name, share in report.user_properties:
            if name.startswith(APART):
                found.setdefault(name.removeprefix(APART), []).append(float(share))
    for name, shares in sorted(found.items()):
        terminalreporter.write_line(f"{name}: {len(shares)} compared, at most {max(shares):.1e} apart")
