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
from noderack_cli.given import from_source, is_source
from noderack_cli.installed import installed
from noderack_cli.near import pack_or_near
from noderack_cli.pack_facts import versions_of, with_version
from noderack_cli.pack_names import normal
from noderack_cli.plan import PackChoice
from noderack_cli.policy import Policy


def choices(
    host: Host, client: RegistryClient, now: Generation, wanted: Sequence[str], work: Path
) -> list[PackChoice]:
    """A choice for each of the texts, in their order; raises NotFound with near names.

    Wheels that have to be made are written to `work`.
    """
    pins, texts = Policy.of(host).pins, list(dict.fromkeys(wanted))
    asked = {text: _question(text, pins) for text in texts if not is_source(text)}
    told = versions_of(client, asked.values())
    here = installed(now.path)  # not what the record says: a pack that something took out comes again

    def choice(text: str) -> PackChoice:
        if text not in asked:
            given = from_source(text, work)
            return replace(given, replaces=here[given.pack].version if given.pack in here else None)
        name, _, number = asked[text].partition("==")
        version = told.get(asked[text]) or _version(client, name, number)
        old = here[name].version if name in here else None
        chosen = PackChoice(name, version.version, (), "you asked for it", replaces=old)
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
