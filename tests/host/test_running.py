import pytest
from noderack_host.running import Interrupted, NothingRunning, Running, current, current_or_none, use


def test_nothing_runs_by_itself() -> None:
    assert current_or_none() is None
    with pytest.raises(NothingRunning, match="no host is running"):
        current()


def test_progress_goes_to_the_report() -> None:
    heard: list[tuple[object, ...]] = []
    with use(Running(node_id="7", report=lambda *told: heard.append(told))):
        current().progress(1, 20)
    assert heard == [("7", 1, 20, None)]
    assert current_or_none() is None


def test_progress_notices_an_interrupt() -> None:
    with use(Running(stopped=lambda: True)), pytest.raises(Interrupted):
        current().progress(1, 20)
