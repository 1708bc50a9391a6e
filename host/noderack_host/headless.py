"""Runs workflow files without a server: packs, file, conversion, check, run, and what came of it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noderack_host import batch
from noderack_host.cache import Cache
from noderack_host.check import check_prompt
from noderack_host.contact_sheet import contact_sheet
from noderack_host.events import Event, ProgressState
from noderack_host.execute import Executor, RunResult
from noderack_host.folder import Host
from noderack_host.folders import ModelFolders
from noderack_host.isolate import for_host
from noderack_host.packs import Packs, load_packs
from noderack_host.problems import Problem, PromptInvalid
from noderack_host.running import Running, use
from noderack_host.schema import NodeSchema
from noderack_host.workflow import Workflow

Say = Callable[[dict[str, Any]], None]
"""Takes one line: {"type": …, "data": …}."""


_PICTURES = (".png", ".webp", ".jpg", ".jpeg", ".gif")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a run is asked for beside the file."""

    jobs: tuple[batch.Job, ...] = ({},)
    seed: int | None = None
    record: Path | None = None
    resume: bool = False
    sheet: Path | bool = False
    """A batch's contact sheet: where it goes, or True for a place beside what was written."""


@dataclass(slots=True)
class Session:
    """A host with its packs loaded, ready to run files; `say` hears everything as wire-form lines."""

    host: Host
    say: Say
    cache: Cache | None = None
    packs: Packs = field(init=False)
    executor: Executor = field(init=False)
    schemas: dict[str, NodeSchema] = field(init=False)
    _pictures: list[tuple[Path, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        start = time.perf_counter()
        running = Running(host=self.host, folders=ModelFolders.of(self.host))
        with use(running):
            self.packs = load_packs(load=for_host(self.host))
            self.schemas, broken = self.packs.schemas()
        for failure in (*self.packs.failures, *broken):
            self.tell("noderack.pack_failed", failure.as_dict())
        self.tell(
            "noderack.packs",
            {"packs": [pack.as_dict() for pack in self.packs.packs], "seconds": time.perf_counter() - start},
        )
        self.executor = Executor(self.packs.nodes, self.cache, self.host, self.packs.versions())

    def tell(self, name: str, data: Mapping[str, Any]) -> None:
        self.say({"type": name, "data": dict(data)})

    def run(self, workflow: Workflow, wishes: Wishes) -> list[RunResult]:
        """Runs a workflow once for each job; raises SettingError, PromptInvalid, NodeError."""
        with use(self.executor.running):
            conversion = workflow.prompt(self.schemas)
            for note in (*workflow.notes, *conversion.notes):
                self.tell("noderack.note", {"code": note.code, "message": note.message, "where": note.where})
            prompts = [(job, self._prompt(conversion.prompt, job, wishes)) for job in wishes.jobs]
        done = self._done_before(wishes)
        results = []
        for at, (job, prompt) in enumerate(prompts):
            if (files := done.get(batch.job_key(job))) is not None:
                self.tell("noderack.job_skipped", {"job": job, "index": at, "files": files})
                self._pictured(job, files)
                continue
            if len(prompts) > 1:
                self.tell("noderack.job", {"job": job, "index": at, "of": len(prompts)})
            results.append(self._run(workflow, prompt, job, wishes.record))
        if wishes.sheet and len(self._pictures) > 1:
            self._make_sheet(wishes.sheet)
        return results

    def _pictured(self, job: batch.Job, files: Sequence[str]) -> None:
        """A job's first picture is the one on the sheet."""
        picture = next((Path(file) for file in files if file.lower().endswith(_PICTURES)), None)
        if picture is not None:
            self._pictures.append((picture, batch.label(job)))

    def _make_sheet(self, place: Path | bool) -> None:
        first = self._pictures[0][0]
        file = place if isinstance(place, Path) else first.with_name(f"sheet_{first.stem}.png")
        self.tell("noderack.sheet", {"path": str(contact_sheet(self._pictures, file))})

    def _done_before(self, wishes: Wishes) -> dict[str, list[str]]:
        if wishes.record is None:
            return {}
        if not wishes.resume:
            wishes.record.unlink(missing_ok=True)
            return {}
        return batch.done_jobs(wishes.record)

    def _prompt(self, prompt: Mapping[str, Any], job: batch.Job, wishes: Wishes) -> Mapping[str, Any]:
        """A job's prompt, checked: a batch is checked whole before its first job runs.

        Outputs below a socket that the file leaves open are left out, if others can run.
        """
        seeded = prompt if wishes.seed is None else batch.seeded(prompt, wishes.seed)
        checked = check_prompt(batch.apply(seeded, job, self.schemas), self.packs.nodes)
        if not all(problem.kind == "required_input_missing" for problem in checked.problems):
            raise PromptInvalid(checked.problems)
        left_out = {key for problem in checked.or_raise().problems for key in problem.outputs}
        self._tell_open(checked.problems)
        return {key: node for key, node in checked.prompt.items() if key not in left_out}

    def _tell_open(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            kind, outputs = problem.node_type, ", ".join(problem.outputs)
            message = f"nothing is connected to {problem.input_name} of {kind}; without output {outputs}"
            self.tell("noderack.note", {"code": "open-socket", "message": message, "where": problem.node_id})

    def _run(
        self, workflow: Workflow, prompt: Mapping[str, Any], job: batch.Job, record: Path | None
    ) -> RunResult:
        start = time.perf_counter()
        files: list[str] = []

        def on_event(event: Event) -> None:
            if not isinstance(event, ProgressState):
                self.say(event.as_dict())

        extra = {"extra_pnginfo": {"workflow": workflow.ui}} if workflow.ui is not None else {}
        result = self.executor.run_here(prompt, on_event, extra)
        for node_id, path in written(result.outputs, self.host):
            files.append(str(path))
            self.tell("noderack.written", {"node": node_id, "path": str(path), "job": job})
        self._pictured(job, files)
        if record is not None:
            batch.note_done(record, job, files)
        seconds = time.perf_counter() - start
        self.tell(
            "noderack.done",
            {"outputs": result.outputs, "files": files, "cached": list(result.cached), "seconds": seconds},
        )
        return result


def written(outputs: Mapping[str, Any], host: Host) -> Iterator[tuple[str, Path]]:
    """(node, path) of each file that ui payloads name and that is there, in any of the host's folders."""
    folders = {"output": host.output, "temp": host.temp, "input": host.input}
    for node_id, ui in outputs.items():
        for items in ui.values():
            for item in items if isinstance(items, Sequence) else ():
                if isinstance(item, Mapping) and "filename" in item:
                    folder = folders.get(str(item.get("type", "output")), host.output)
                    path = folder / str(item.get("subfolder", "")) / str(item["filename"])
                    if path.is_file():
                        yield node_id, path
