"""The packs that somebody asks for: by name and version, or by a wheel, a folder, a zip or a git address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from noderack_host.folder import Host
from noderack_registry.client import RegistryClient
from noderack_registry.schema import PackVersion

from noderack_cli.at_once import at_once
from noderack_cli.errors import NotFound
from noderack_cli.generations import Generation
from noderack_cli.near import pack_or_near
from noderack_cli.pack_facts import versions_of, with_version
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice
from noderack_cli.policy import Policy


def is_source(text: str) -> bool:
    """Whether this is a wheel, a folder, a zip or a git address, and not a pack's name."""
    return "://" in text or text.endswith((".whl", ".zip")) or "/" in text or Path(text).is_dir()


def choices(host: Host, client: RegistryClient, now: Generation, wanted: Sequence[str]) -> list[PackChoice]:
    """A choice for each of the texts, in their order; raises NotFound with near names."""
    pins, texts = Policy.of(host).pins, list(dict.fromkeys(wanted))
    asked = {text: _question(text, pins) for text in texts if not is_source(text)}
    told = versions_of(client, asked.values())

    def choice(text: str) -> PackChoice:
        if text not in asked:
            return _from_source(host, text)
        name, _, number = asked[text].partition("==")
        version = told.get(asked[text]) or _version(client, name, number)
        here = now.packs.get(name)
        chosen = PackChoice(
            name, version.version, (), "you asked for it", replaces=here.version if here else None
        )
        return with_version(chosen, version)

    return at_once(choice, texts)


def _question(text: str, pins: Mapping[str, str]) -> str:
    """NAME or NAME==VERSION, for film, film==1.2 and film@1.2; a pin counts where no version is said."""
    name, _, number = text.replace("==", "@").partition("@")
    name = normal(name)
    number = number or pins.get(name, "")
    return f"{name}=={number}" if number else name


def _version(client: RegistryClient, name: str, number: str) -> PackVersion:
    number = number or pack_or_near(client, name).latest or ""
    if not number:
        raise NotFound(f"{name} has no version that can be installed", f"See: nodes show {name}")
    return client.version(name, number)


def _from_source(host: Host, text: str) -> PackChoice:
    if text.endswith(".whl"):
        path = Path(text).expanduser().resolve()
        if not path.is_file():
            raise NotFound(f"{path} is not a file")
        name, version = path.name.split("-")[:2]
        return PackChoice(
            normal(name), version, (), "you gave the wheel", wheel=str(path), size=path.stat().st_size
        )
    from noderack_registry.packing import build_wheel

    built = build_wheel(text, host.root / "wheels")
    name, version = built.metadata.name, built.metadata.version
    reason = f"built from {text}"
    choice = PackChoice(normal(name), version, tuple(built.types.node_types), reason, wheel=str(built.path))
    return replace(choice, sha256=built.sha256, library=built.metadata.library)
