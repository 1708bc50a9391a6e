"""Carries out the packs of a plan, one generation for each: clone, uv, verify in a child, switch.

Whatever fails leaves the generation in use as it was; the packs before it stay, unless all-or-nothing is
asked for.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from noderack_host.folder import Host

from noderack_cli import generations, verify
from noderack_cli.errors import InstallError, NodesError, NoSpace
from noderack_cli.generations import Draft, Generation, InstalledPack
from noderack_cli.installed import Constraint, Installed, constraints, installed
from noderack_cli.model_files import digest
from noderack_cli.plan import PackChoice, Plan
from noderack_cli.solve import run_install


class Report(Protocol):
    """Hears what happens while it happens."""

    def __call__(self, event: str, **facts: object) -> None:
        """`event` is pack-started, pack-step, pack-installed or pack-failed."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of it: packs that are in, and those that are not with the error."""

    installed: tuple[PackChoice, ...] = ()
    failed: tuple[tuple[PackChoice, NodesError], ...] = ()
    generation: int = 0


def apply(
    plan: Plan, host: Host, report: Report, *, registry: str | None, all_or_nothing: bool = False
) -> Applied:
    """Install the plan's packs. The caller holds the host. Raises only for what concerns all (disk full)."""
    for left in generations.unfinished(host):
        generations.remove(left)
    start = generations.current(host)
    done: list[PackChoice] = []
    failed: list[tuple[PackChoice, NodesError]] = []
    for pack in plan.packs:
        try:
            report("pack-started", pack=pack.pack, version=pack.version, reason=pack.reason)
            made = install_pack(host, pack, report, registry=registry, plan=plan)
            report("pack-installed", pack=pack.pack, version=pack.version, generation=made.number)
            done.append(pack)
        except InstallError as error:
            report("pack-failed", pack=pack.pack, version=pack.version, message=error.message)
            failed.append((pack, error))
            if all_or_nothing:
                generations.switch(host, start)
                return Applied((), tuple(failed), start.number)
    return Applied(tuple(done), tuple(failed), generations.current(host).number)


def install_pack(
    host: Host, pack: PackChoice, report: Report, *, registry: str | None, plan: Plan
) -> Generation:
    """The generation in use with `pack` added, verified and switched to; raises InstallError."""
    now = generations.current(host)
    if pack.wheel and pack.sha256 and digest(Path(pack.wheel)) != pack.sha256:
        raise InstallError(f"{pack.wheel} is not the wheel that was locked: its sha256 differs")
    report("pack-step", pack=pack.pack, step="clone")
    with generations.draft(host, now.path, now.number) as draft:
        before = installed(draft.path)
        report("pack-step", pack=pack.pack, step="install")
        bounds = (*constraints(before), *_solved(plan, pack))
        _uv(host, registry, draft, pack, bounds=bounds, left_out=plan.left_out)
        _seal(draft.python, _changed(before, draft.path))
        report("pack-step", pack=pack.pack, step="verify")
        types = _verified(host, draft, pack)
        record = InstalledPack(pack.pack, pack.version, types, pack.wheel or "registry", pack.sha256)
        why = f"install {pack.pack} {pack.version}"
        return generations.commit(host, draft, why, {**now.packs, pack.pack: record})


def _solved(plan: Plan, pack: PackChoice) -> Iterator[Constraint]:
    """The versions that the whole plan was solved with, so that one pack at a time ends where all would."""
    for change in plan.distributions:
        if change.new is not None and change.name != pack.pack:
            yield Constraint(change.name, f"=={change.new}", "the plan says so")


def _uv(
    host: Host,
    registry: str | None,
    draft: Draft,
    pack: PackChoice,
    *,
    bounds: Sequence[Constraint],
    left_out: Sequence[str],
) -> None:
    ran = run_install(
        host,
        registry,
        draft.python,
        requirements=[pack.requirement],
        bounds=bounds,
        args=["--quiet", "--refresh-package", pack.pack],
        left_out=left_out,
    )
    if ran.code != 0 and re.search(r"No space left|os error 28|Read-only file system|os error 30", ran.err):
        hint = "Free some space (nodes prune --keep 1 removes old generations); the host is as it was."
        raise NoSpace(f"There is no room for {pack.pack} {pack.version} in {host.root}", hint)
    if ran.code != 0:
        lines = [line.strip() for line in ran.err.splitlines() if line.strip()]
        said = " ".join(line.removeprefix("error: ").removeprefix("cause: ") for line in lines)
        raise InstallError(f"{pack.pack} {pack.version} could not be installed: {said[:1500]}")


def _changed(before: Mapping[str, Installed], root: Path) -> list[Path]:
    """The dist-info folders that were not there before."""
    old = {one.info.name for one in before.values()}
    return [one.info for one in installed(root).values() if one.info.name not in old]


def _seal(python: Path, infos: Sequence[Path]) -> None:
    """Compile the new files' byte code, then make them read-only: generations share them."""
    files = [file for info in infos for file in _files(info)]
    sources = [str(file) for file in files if file.suffix == ".py"]
    if sources:
        command = [str(python), "-I", "-m", "compileall", "-q", "-i", "-"]
        subprocess.run(command, input="\n".join(sources), text=True, capture_output=True, check=False)
    for file in files:
        with suppress(OSError):
            file.chmod(file.stat().st_mode & ~0o222)


def _files(info: Path) -> Iterator[Path]:
    record = info / "RECORD"
    if not record.is_file():
        return
    for line in record.read_text("utf-8").splitlines():
        file = info.parent / line.rsplit(",", 2)[0].strip('"')
        inside = os.path.normpath(file).startswith(str(info.parent) + os.sep)
        if inside and file.is_file() and not file.is_symlink() and file.name not in ("RECORD", "INSTALLER"):
            yield file


def _verified(host: Host, draft: Draft, pack: PackChoice) -> tuple[str, ...]:
    """The pack's node types when it is imported; raises InstallError if wanted ones are not there."""
    if pack.library:
        return ()
    seen = verify.inspect(draft.python, host.root, [pack.pack])
    for failure in seen.failures:
        if failure.node_type is None or failure.node_type in pack.node_types:
            what = f"{pack.pack} {pack.version}" + (
                f", node {failure.node_type}," if failure.node_type else ""
            )
            raise InstallError(f"{what} does not import: {failure.cause}", "The host is as it was.")
    types = tuple(sorted(seen.node_types))
    lacking = [type_ for type_ in pack.node_types if type_ not in seen.node_types]
    if lacking:
        hint = "The registry was wrong about it; choose another with --choose TYPE=PACK."
        raise InstallError(f"{pack.pack} {pack.version} imports, but has no {', '.join(lacking)}", hint)
    return types
