"""Ray itself: joining a cluster or starting one, making actors, how many workers there may be.

Ray is imported here alone, and when it is needed: an environment without it serves as ever.

Errors:
    ClusterError   Ray is not there, the cluster cannot be joined: what to do
"""

import os
from collections.abc import Mapping
from typing import Any

from noderack_host.cluster.actor import Actor

CALLS = 8  # of one worker at once: a prompt, and what is asked meanwhile
STORE = 512 << 20  # bytes that a cluster of our own keeps for files on their way


class ClusterError(Exception):
    """The cluster cannot be used."""


def ray_module() -> Any:
    """Ray; raises ClusterError where it is not installed."""
    try:
        import ray
    except ModuleNotFoundError as cause:
        raise ClusterError(
            "Ray is not installed in this environment: pip install 'noderack[ray]' in it, then serve again"
        ) from cause
    return ray


def join(address: str | None) -> None:
    """Joins the cluster at `address`, or the one that runs on this machine, or starts one here.

    Raises ClusterError.
    """
    ray = ray_module()
    quiet = {"log_to_driver": False, "configure_logging": False, "ignore_reinit_error": True}
    try:
        if address is not None or os.environ.get("RAY_ADDRESS"):
            ray.init(address=address, **quiet)
            return
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:  # none runs here
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(include_dashboard=False, object_store_memory=STORE, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as cause:
        where = f"the Ray cluster at {address}" if address else "a Ray cluster"
        raise ClusterError(f"cannot join {where}: {_first_line(cause)}") from cause


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def room() -> int:
    """How many workers the machines of now have room for: one for each GPU, or one where there is none."""
    found = [node["Resources"] for node in ray_module().nodes() if node["Alive"]]
    return sum(max(int(has.get("GPU", 0)), 1) for has in found if has.get("CPU", 0) >= 1)


def new_actor() -> Any:
    """A worker somewhere on the cluster; on a machine with GPUs it gets one of them."""
    ray = ray_module()
    gpus = 1 if ray.cluster_resources().get("GPU", 0) >= 1 else 0
    options: Mapping[str, Any] = {
        "num_cpus": 1,
        "num_gpus": gpus,
        "max_concurrency": CALLS,
        "max_restarts": 0,
        "scheduling_strategy": "SPREAD",
    }
    return ray.remote(Actor).options(**options).remote()


def end_actor(actor: Any) -> None:
    """Ends a worker's actor, whatever it does."""
    ray_module().kill(actor, no_restart=True)


def cause_of(error: BaseException) -> str:
    """Why a call of an actor failed, in one line."""
    inner = getattr(error, "cause", None)
    return _first_line(inner if isinstance(inner, BaseException) else error)
