"""Prompts on a real local Ray cluster: a worker killed in the middle, files, interrupts, what is warm."""

import asyncio
import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

pytest.importorskip("ray", reason="Ray is not installed here: pip install 'noderack[ray]'")
sys.path.insert(0, str(Path(__file__).parent))  # for ray_cluster.py beside this file

from ray_cluster import ask, cluster, serving, site_with_pack, until, up, workers

Cluster = tuple[str, dict[str, str]]


@pytest.fixture(scope="module")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(site_with_pack(tmp_path_factory.mktemp("site") / "packs")) as found:
        yield found


@pytest.fixture(scope="module")
def url(ray: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    address, environment = ray
    root = tmp_path_factory.mktemp("server") / "host"
    with serving(root, environment, ["--engine", f"ray={address}", "--workers", "2"]) as url:
        until(lambda: up(url, 2), "two workers")
        yield url


def steps(text: str, count: int = 3, **more: str) -> dict[str, Any]:
    return {"1": {"class_type": "Steps", "inputs": {"text": text, "steps": count, **more}}}


def post(url: str, prompt: dict[str, Any], name: str) -> None:
    ask(url, "/prompt", {"prompt": prompt, "prompt_id": name})


def over(url: str, *names: str) -> dict[str, Any]:
    """The history of these prompts, as soon as all are over."""
    return until(lambda: (h := ask(url, "/history")) and set(names) <= set(h) and h, f"prompts {names}")


def at_work(url: str, name: str) -> dict[str, Any]:
    """The worker that has a prompt, as soon as one has."""
    return until(lambda: next((one for one in workers(url) if one["prompt"] == name), None), name)


def step_of(url: str, name: str) -> float:
    """How far a prompt's node is."""
    runs = {one["id"]: one for one in ask(url, "/noderack/now")["runs"]}
    return float(runs.get(name, {}).get("value", 0))


async def heard_while(url: str, bodies: list[dict[str, Any]], meanwhile: Callable[[], None]) -> list[Any]:
    """Posts prompts as one client; gives all that it hears until they are over."""
    heard: list[Any] = []
    async with aiohttp.ClientSession(url) as http, http.ws_connect("/ws?clientId=me") as socket:
        for body in bodies:
            async with http.post("/prompt", json={**body, "client_id": "me"}) as answer:
                assert answer.status == 200, await answer.text()
        task = asyncio.create_task(asyncio.to_thread(meanwhile))
        left = {body["prompt_id"] for body in bodies}
        while left:
            message = await asyncio.wait_for(socket.receive(), 60)
            told = message.json() if message.type is aiohttp.WSMsgType.TEXT else {"type": "picture"}
            heard.append(told)
            if told["type"] == "executing" and told["data"]["node"] is None:
                left.discard(told["data"]["prompt_id"])
        await task
    return heard


def test_a_worker_is_killed_in_the_middle_and_every_prompt_is_over_once(url: str) -> None:
    names = [f"k{number}" for number in range(6)]
    bodies = [{"prompt": steps(name, 20), "prompt_id": name} for name in names]

    def kill() -> None:
        until(lambda: step_of(url, "k2") >= 2, "the middle of a prompt")
        os.kill(at_work(url, "k2")["actor_pid"], signal.SIGKILL)

    heard = asyncio.run(heard_while(url, bodies, kill))
    ends = Counter(one["data"]["prompt_id"] for one in heard if _is_end(one))
    assert ends == dict.fromkeys(names, 1), "each end is heard once"
    starts = Counter(one["data"]["prompt_id"] for one in heard if one["type"] == "execution_start")
    assert sum(starts.values()) == len(names) + 1 and max(starts.values()) == 2, "one prompt ran again"
    kinds = Counter(one["type"] for one in heard)
    assert kinds["picture"] >= 20 * len(names) and kinds["progress"] and kinds["progress_state"]
    history = over(url, *names)
    assert all(history[name]["status"]["status_str"] == "success" for name in names)
    assert [m[0] for m in history["k2"]["status"]["messages"]].count("execution_start") == 1
    files = [history[name]["outputs"]["1"]["images"][0]["filename"] for name in names]
    assert len(set(files)) == len(names), "no picture took another's place"
    assert all(_view(url, file)[:4] == b"\x89PNG" for file in files)
    assert until(lambda: sum(one["lost"] for one in workers(url)), "the loss")


def _is_end(message: dict[str, Any]) -> bool:
    return message["type"] == "executing" and message["data"]["node"] is None


def _view(url: str, name: str) -> bytes:
    import urllib.request

    with urllib.request.urlopen(f"{url}/view?filename={name}") as answer:
        found: bytes = answer.read()
        return found


@pytest.mark.slow
def test_a_prompt_that_kills_its_workers_is_marked_with_the_cause_and_the_queue_goes_on(url: str) -> None:
    post(url, steps("deadly", 1, deadly="yes"), "deadly")
    post(url, steps("after", 1), "after")
    history = over(url, "deadly", "after")
    assert history["after"]["status"]["status_str"] == "success"
    assert history["deadly"]["status"]["status_str"] == "error"
    error = dict(history["deadly"]["status"]["messages"])["execution_error"]
    assert error["exception_type"] == "WorkerLost" and error["exception_message"].count("SIGKILL") == 3
    until(lambda: up(url, 2), "the workers again")


@pytest.mark.slow
def test_an_interrupt_reaches_the_worker_that_has_the_prompt(url: str) -> None:
    post(url, steps("long", 10_000), "long")
    post(url, steps("other", 20), "other")
    at_work(url, "long")
    ask(url, "/interrupt", {"prompt_id": "long"})
    history = over(url, "long", "other")
    assert history["long"]["status"]["messages"][-1][0] == "execution_interrupted"
    assert ask(url, "/api/jobs/long")["status"] == "cancelled"
    assert history["other"]["status"]["status_str"] == "success"


@pytest.mark.slow
def test_prompts_go_where_their_model_is_warm(url: str) -> None:
    until(lambda: up(url, 2), "two workers")
    for number, model in enumerate("abababab"):
        post(url, steps(f"w{number}", 1, model=f"{model}.safetensors"), f"w{number}")
        over(url, f"w{number}")
    history = ask(url, "/history")
    pids = [history[f"w{number}"]["outputs"]["1"]["pid"][0] for number in range(8)]
    assert len(set(pids[0::2])) == 1 and len(set(pids[1::2])) == 1 and pids[0] != pids[1]


@pytest.mark.slow
def test_what_a_prompt_logs_is_kept_and_a_failing_node_is_told(url: str) -> None:
    post(url, steps("talk", 1), "talk")
    post(url, {"1": {"class_type": "Read", "inputs": {"image": "none.png"}}}, "fails")
    history = over(url, "talk", "fails")
    lines = ask(url, "/noderack/prompts/talk/logs")["entries"]
    assert [(line["m"], line["node"]) for line in lines] == [("drawing talk\n", "1")]
    error = dict(history["fails"]["status"]["messages"])["execution_error"]
    assert error["exception_type"] == "FileNotFoundError" and error["node_id"] == "1"


@pytest.mark.slow
def test_files_travel_where_a_worker_has_a_host_of_its_own(ray: Cluster, tmp_path: Path) -> None:
    address, environment = ray
    root, apart = tmp_path / "host", tmp_path / "apart"
    synced_host(root, apart)
    (root / "input").mkdir()
    (root / "input" / "seen.bin").write_bytes(b"abc")
    (root / "output").mkdir()
    (root / "output" / "made_00004_.png").write_bytes(b"of before")
    options = ["--engine", f"ray={address}", "--workers", "1", "--worker-root", str(apart)]
    with serving(root, environment, options) as url:
        until(lambda: up(url, 1), "a worker")
        assert not workers(url)[0]["shared"]
        post(url, steps("one", 1), "one")
        post(url, {"1": {"class_type": "Read", "inputs": {"image": "seen.bin"}}}, "in")
        post(url, {"1": {"class_type": "Read", "inputs": {"image": "made_00004_.png [output]"}}}, "out")
        history = over(url, "one", "in", "out")
    assert history["one"]["outputs"]["1"]["images"][0]["filename"] == "made_00005_.png"
    assert (root / "output" / "made_00005_.png").read_bytes()[:4] == b"\x89PNG"
    assert (root / "output" / "made_00005_.png.txt").read_text() == "one"
    assert history["in"]["outputs"]["1"]["text"] == [b"abc".hex()]
    assert history["out"]["outputs"]["1"]["text"] == [b"of before".hex()]


@pytest.mark.slow
def test_outputs_land_in_a_bucket_and_are_shown_from_there(ray: Cluster, tmp_path: Path) -> None:
    boto3, moto = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(port=0)
    server.start()
    address, environment = ray
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=endpoint, **keys)
        client.create_bucket(Bucket="pictures")
        bucket = f"s3://pictures/ours?endpoint={endpoint}"
        options = ["--engine", f"ray={address}", "--workers", "2", "--outputs", bucket]
        with serving(tmp_path / "host", environment, options) as url:
            until(lambda: up(url, 2), "two workers")
            for number in range(4):
                post(url, steps(f"b{number}", 2), f"b{number}")
            history = over(url, *(f"b{number}" for number in range(4)))
            names = {one["outputs"]["1"]["images"][0]["filename"] for one in history.values()}
            assert names == {f"made_0000{number}_.png" for number in (1, 2, 3, 4)}
            assert all(_view(url, name)[:4] == b"\x89PNG" for name in names)
        found = {one["Key"] for one in client.list_objects(Bucket="pictures")["Contents"]}
        assert {f"ours/output/{name}" for name in names} <= found
        assert not (tmp_path / "host" / "output").exists()
    finally:
        server.stop()


def synced_host(root: Path, apart: Path) -> None:
    """A host with a lock, and the host that a worker has made of it before."""
    own = apart / root.name
    for folder in (root, own / "user"):
        folder.mkdir(parents=True)
    (root / "nodes.lock").write_text("# a lock\n")
    (own / "user" / "synced").write_text(hashlib.sha256(b"# a lock\n").hexdigest())
    (own / "host.toml").touch()
    (own / "env").symlink_to(Path(sys.executable).parents[1])
