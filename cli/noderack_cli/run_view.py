"""How a run looks on the terminal: a line for each node that took time, one for each file, a last line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from noderack_cli.progress import Progress
from noderack_cli.show import count, seconds, size

_SHORT = 0.05


@dataclass(slots=True)
class RunView:
    """Shows a run's lines as they come. Nodes that took less than 50 ms are only counted, unless `every`."""

    progress: Progress = field(default_factory=Progress)
    every: bool = False
    nodes: int = 0
    quick: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __call__(self, line: dict[str, Any]) -> None:
        handler = getattr(self, "_" + str(line.get("type", "")).replace(".", "_"), None)
        if handler is not None:
            handler(line["data"])

    def _noderack_packs(self, data: dict[str, Any]) -> None:
        types = sum(len(pack["node_types"]) for pack in data["packs"])
        packs = count(len(data["packs"]), "pack")
        self.progress.line(f"Loaded {packs} with {count(types, 'node type')} in {seconds(data['seconds'])}")

    def _noderack_pack_failed(self, data: dict[str, Any]) -> None:
        what = f"node type {data['node_type']}" if data.get("node_type") else f"pack {data['pack']}"
        self.progress.line(f"  could not load {what}: {data['cause']}")

    def _noderack_note(self, data: dict[str, Any]) -> None:
        where = f"{data['where']}: " if data["where"] else ""
        self.progress.line(f"  note: {where}{data['message']}")

    def _noderack_job(self, data: dict[str, Any]) -> None:
        self.nodes = self.quick = 0
        self.progress.line(f"Job {data['index'] + 1} of {data['of']}: {_job(data['job'])}")

    def _noderack_job_skipped(self, data: dict[str, Any]) -> None:
        self.progress.line(f"Job {data['index'] + 1} was done before: {_job(data['job'])}")

    def _executing(self, data: dict[str, Any]) -> None:
        self.progress.running(f"  node {data['node']} …")

    def _progress(self, data: dict[str, Any]) -> None:
        done = data["value"] / data["max"] if data["max"] else 1
        bar = "█" * round(done * 24) + "·" * (24 - round(done * 24))
        self.progress.running(f"  node {data['node']}  {bar} {data['value']:g}/{data['max']:g}")

    def _noderack_node_timed(self, data: dict[str, Any]) -> None:
        self.nodes += 1
        if data["seconds"] < _SHORT and not self.every:
            self.quick += 1
            return
        peak = f", process peak {size(data['peak_bytes'])}" if data.get("peak_bytes") else ""
        took = f"{data['seconds'] * 1000:.0f} ms" if data["seconds"] < 1 else seconds(data["seconds"])
        self.progress.line(f"  {data['node_type']} (node {data['node']}): {took}{peak}")

    def _execution_error(self, data: dict[str, Any]) -> None:
        if data["exception_type"] == "ExecutionBlocked":
            said = data["exception_message"].strip()
            self.progress.line(f"  {data['node_type']} (node {data['node_id']}): {said}")

    def _executed(self, data: dict[str, Any]) -> None:
        for text in (data["output"] or {}).get("text", ()):
            self.progress.line(f"  node {data['node']}: {text}")

    def _noderack_written(self, data: dict[str, Any]) -> None:
        self.progress.line(f"  wrote {data['path']} (node {data['node']})")

    def _noderack_sheet(self, data: dict[str, Any]) -> None:
        self.progress.line(f"Contact sheet: {data['path']}")

    def _noderack_done(self, data: dict[str, Any]) -> None:
        quick = f", {self.quick} of them in no time" if self.quick else ""
        cached = f"; {count(len(data['cached']), 'node')} kept from before" if data["cached"] else ""
        self.progress.line(
            f"Done in {seconds(data['seconds'])}: {count(self.nodes, 'node')} ran{quick}{cached}"
        )


def _job(job: dict[str, Any]) -> str:
    return "  ".join(f"{target}={value}" for target, value in job.items())
