"""The packs that somebody asks for: by name and version, or by a wheel, a folder, a zip or a git address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from noderack_host.folder import Host
from noderack_registry.client import RegistryClient
from noderack_registry.schema import PackVersion

from noderack_cli.at_once import at_once
from noderack_cli.errors import NotFound
from noderack_cli.generations import Generation
from noderack_cli.given import from_source
from noderack_cli.installed import Installed, installed
from noderack_cli.near import pack_or_near
from noderack_cli.pack_facts import versions_of, with_version
from noderack_cli.pack_names import is_source, said
from noderack_cli.plan import PackChoice
from noderack_cli.policy import Policy


def choices(
    host: Host, client: RegistryClient, now: Generation, wanted: Sequence[str], work: Path
) -> list[PackChoice]:
    """A choice for each of the texts, in their order; raises NotFound with near names.

    Wheels that have to be made are written to `work`.
    """
    pins, texts = Policy.of(host).pins, list(dict.fromkeys(wanted))
    asked = {text: said(text, pins) for text in texts if not is_source(text)}
    told = versions_of(client, asked.values())
    untold = [question for question in asked.values() if question not in told]
    told |= zip(untold, at_once(partial(_version, client), untold), strict=True)
    here = installed(now.path)  # not what the record says: a pack that something took out comes again
    sources = [text for text in texts if text not in asked]
    given = dict(zip(sources, at_once(partial(_given, here, work), sources), strict=True))
    return [given.get(text) or _choice(here, told[asked[text]]) for text in texts]


def _given(here: Mapping[str, Installed], work: Path, text: str) -> PackChoice:
    given = from_source(text, work)
    return replace(given, replaces=here[given.pack].version if given.pack in here else None)


def _choice(here: Mapping[str, Installed], version: PackVersion) -> PackChoice:
    old = here[version.pack].version if version.pack in here else None
    chosen = PackChoice(version.pack, version.version, (), "you asked for it", replaces=old)
    return with_version(chosen, version)


def _version(client: RegistryClient, question: str) -> PackVersion:
    name, _, number = question.partition("==")
    number = number or pack_or_near(client, name).latest or ""
    if not number:
        raise NotFound(f"{name} has no version that can be installed", f"See: nodes show {name}")
    return client.version(name, number)
