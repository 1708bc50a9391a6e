"""The corpus of hostile text, and an export that has it wherever a stranger's text can stand."""

from pathlib import Path
from typing import Any

XSS = (Path(__file__).parents[1] / "cases/site/xss.txt").read_text(encoding="utf-8").splitlines()


def poisoned(export: dict[str, Any]) -> dict[str, Any]:
    """The export with all of the corpus in each text of a pack, version, type, claim, model and workflow."""
    text = "\n".join(XSS)
    film, release = export["packs"][0], export["packs"][0]["releases"][0]
    film |= dict.fromkeys(("title", "description", "author", "licence", "latest", "requires_python"), text)
    film |= {"readme": text, "status": "deprecated", "status_reason": text, "repository": text}
    film |= {key: [text] for key in ("tags", "dependencies", "capabilities", "screenshots")}
    film |= {"urls": {text: text}}
    release |= dict.fromkeys(("version", "changelog", "commit", "yanked_reason"), text) | {"findings": [text]}
    export["packs"][1]["readme_html"] = text
    model = export["models"][0]
    model |= dict.fromkeys(("title", "description", "base", "kind", "licence", "page"), text)
    model |= {"trigger_words": [text], "sources": [{"kind": "url", "url": text}]}
    inputs = {text: ["STRING", {"tooltip": text, "default": text}], "x": [text]}
    names = dict.fromkeys(("display_name", "category", "description"), text)
    export["schemas"] = {
        text: {"input": {"required": inputs}, "output": [text], "output_name": [text], **names}
    }
    export["packs"][3]["successor"] = text
    claim = {"type": text, "pack": "film-looks", "version": text, "origin": text, "rank": 1, "reason": text}
    export["claims"][text] = [claim, {**claim, "pack": text, "rank": 2}]
    workflow = export["workflows"][0]
    workflow |= {"title": text, "description": text}
    workflow["graph"]["nodes"][0] |= {"title": text, "type": text}
    workflow["graph"]["groups"][0]["title"] = text
    export["changes"][0] |= {"kind": text, "version": text}
    return export
