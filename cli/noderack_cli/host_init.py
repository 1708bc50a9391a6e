"""Makes a host: its folders, its host.toml, and generation 1 from a virtualenv, or a new one."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlsplit

from noderack_host.folder import Host, HostConfig

from noderack_cli import generations, links, verify
from noderack_cli.errors import BadInput, InstallError, NotFound
from noderack_cli.generations import Draft, Generation, InstalledPack
from noderack_cli.held import hold
from noderack_cli.uv_tool import cache_for, index_args, uv

FOLDERS = ("models", "input", "output", "temp", "user", "generations")
Tell = Callable[[str], None]


def make_host(root: Path, config: HostConfig, source: Path | None, torch: str, tell: Tell) -> Generation:
    """Make a host at `root`; generation 1 is a clone of the virtualenv `source`, or a new one when None.

    Raises BadInput when there is a whole host already; an init that was cut off is taken up again.
    """
    host = Host(root.expanduser().resolve(), config)
    _refuse_whole(host)
    for name in FOLDERS:
        (host.root / name).mkdir(parents=True, exist_ok=True)
    with hold(host.root, "nodes init", tell=tell):
        for left in generations.unfinished(host):
            generations.remove(left)
        host.save()
        if source is None:
            return _new(host, torch, tell)
        return _adopt(host, source, tell)


def _refuse_whole(host: Host) -> None:
    try:
        number = generations.current(host).number
    except (NotFound, BadInput):
        return
    hint = f"Use it: nodes list --host {host.root}"
    raise BadInput(f"{host.root} is a host already (generation {number} is in use)", hint)


def environment_here() -> Path | None:
    """The virtualenv that this process runs in, if it has all that a host needs; else None."""
    root = Path(sys.prefix)
    if sys.prefix == sys.base_prefix or not (root / "pyvenv.cfg").is_file():
        return None
    return root if has_torch(root) else None


def has_torch(root: Path) -> bool:
    """Whether the virtualenv at `root` has torch."""
    return any(next(packages.glob("torch-*.dist-info"), None) for packages in links.site_packages(root))


def _adopt(host: Host, source: Path, tell: Tell) -> Generation:
    if not (source / "pyvenv.cfg").is_file():
        raise BadInput(f"{source} is not a virtualenv: it has no pyvenv.cfg", "Name another with --from.")
    tell(f"taking {source} as generation 1")
    with generations.draft(host, source, None) as draft:
        _tell_clone(draft, tell)
        for name, place in editable(draft.path):
            tell(f"{name} is installed in editable form: this host follows the folder {place}")
        return _commit(host, draft, f"init from {source}", tell)


def _tell_clone(draft: Draft, tell: Tell) -> None:
    done = draft.cloned
    if done.refusal:
        tell(f"links are impossible here ({done.refusal}): {done.copied} files were copied instead")
    else:
        tell(f"{done.linked} files linked, none copied")


def editable(root: Path) -> list[tuple[str, str]]:
    """Distributions of the virtualenv that are installed in editable form, with their folders."""
    found = []
    for packages in links.site_packages(root):
        for file in sorted(packages.glob("*.dist-info/direct_url.json")):
            data = json.loads(file.read_text("utf-8"))
            if data.get("dir_info", {}).get("editable"):
                name = file.parent.name.split("-")[0].replace("_", "-")
                found.append((name, unquote(urlsplit(data["url"]).path)))
    return found


def _new(host: Host, torch: str, tell: Tell) -> Generation:
    tell(f"making a new environment with Python {sys.version_info.major}.{sys.version_info.minor}")
    number = 1 + max((g.number for g in generations.every(host)), default=0)
    path = host.generations / str(number)
    cache = cache_for(host.root)
    try:
        _must(
            uv(["venv", "--quiet", "--python", sys.executable, path], cache_at=cache), "making a virtualenv"
        )
        draft = Draft(number, path, None, links.Cloned())
        command: list[str | Path] = ["pip", "install", "--quiet", "--python", draft.python]
        command += [*index_args(None, host.config.python_index), *_torch_args(torch), ourselves()]
        tell("installing Noderack and torch into it")
        _must(uv(command, cache_at=cache), "installing Noderack and torch", _hint(torch))
        return _commit(host, draft, "init, new environment", tell)
    finally:
        if not (path / generations.RECORD).is_file():
            generations.remove(path)


def _torch_args(torch: str) -> list[str]:
    """uv's option for the torch build; "index" takes the one that the Python index has."""
    return [] if torch == "index" else ["--torch-backend", torch]


def _hint(torch: str) -> str:
    """What to try when the indexes of torch builds cannot be reached."""
    mirror = "With a mirror of your own: nodes init --new --torch index --python-index URL"
    return "" if torch == "index" else mirror


def ourselves() -> str:
    """The requirement for this very Noderack: its folder if it runs from one, else its version."""
    distribution = metadata.distribution("noderack")
    said = distribution.read_text("direct_url.json")
    if said:
        place = urlsplit(json.loads(said)["url"])
        if place.scheme == "file":
            return f"noderack[host] @ file://{place.path}"
    return f"noderack[host]=={distribution.version}"


def _must(ran: object, what: str, hint: str = "") -> None:
    code, err = getattr(ran, "code", 1), getattr(ran, "err", "")
    if code != 0:
        lines = [line.strip() for line in err.splitlines() if line.strip()]
        raise InstallError(f"uv failed at {what}: {' '.join(lines)[:1500]}", hint)


def _commit(host: Host, draft: Draft, why: str, tell: Tell) -> Generation:
    tell("importing its node packs once, to know their node types")
    seen = verify.inspect(draft.python, host)
    for failure in seen.failures:
        tell(f"{failure.node_type or failure.pack} does not import here: {failure.cause}")
    packs = {
        name: InstalledPack(name, _version(draft.path, name), types, "host")
        for name, types in seen.packs.items()
    }
    return generations.commit(host, draft, why, packs)


def _version(root: Path, name: str) -> str:
    found = metadata.distributions(name=name, path=[str(p) for p in links.site_packages(root)])
    return next((d.version for d in found), "0")
