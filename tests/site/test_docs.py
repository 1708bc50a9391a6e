"""The docs: every command and option that they show exists, every link and heading is there."""

import re
from pathlib import Path

import pytest
from noderack_cli.reference import reference
from noderack_site.docs import DOCS, read_docs

FOLDER = Path(DOCS)
PAGES = sorted(FOLDER.glob("*.md"))
COMMANDS = {command["name"]: command for command in reference()["commands"]}
LINK = re.compile(r"\]\(([\w-]+)\.md(?:#([\w-]+))?\)")


def shown(text: str) -> list[str]:
    """Lines in code blocks, and code in sentences, that begin with `nodes`."""
    lines = [line.strip().removeprefix("$ ") for line in text.splitlines() if line.startswith("    ")]
    lines += re.findall(r"`(nodes [^`]+)`", text)
    return [line.split("  #")[0] for line in lines if line.startswith("nodes ")]


def fault(line: str) -> str | None:
    """What is wrong with a command line, None for nothing."""
    words = line.split()
    name = next((n for n in (" ".join(words[:k]) for k in (4, 3, 2)) if n in COMMANDS), None)
    if name is None:
        group = " ".join(words[:2])
        return None if any(known.startswith(group + " ") for known in COMMANDS) else "no such command"
    known = {
        part for option in COMMANDS[name]["options"] for part in re.findall(r"--[\w-]+", option["names"])
    }
    asked = {word.split("=")[0].strip("[]`'") for word in words if word.startswith(("--", "[--"))}
    unknown = asked - known - {"--help", "--debug", "--", "--json"}
    return f"no such option: {', '.join(sorted(unknown))}" if unknown else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_as_shown(page: Path) -> None:
    found = [(line, fault(line)) for line in shown(page.read_text(encoding="utf-8"))]
    assert not [(line, wrong) for line, wrong in found if wrong]


def test_links_and_headings_are_there() -> None:
    docs = {doc.stem: doc for doc in read_docs(FOLDER, {})}
    lost = []
    for page in PAGES:
        for target, heading in re.findall(
            r"\]\(([\w-]+)\.md(?:#([\w-]+))?\)", page.read_text(encoding="utf-8")
        ):
            ids = {name for _, name, _ in docs[target].headings} if target in docs else set()
            if target not in docs or (heading and heading not in ids):
                lost.append((page.stem, target, heading))
    assert not lost
