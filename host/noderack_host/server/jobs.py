"""A prompt as a job: the form that the editor's panels and webhooks know."""

from collections.abc import Mapping
from typing import Any

from noderack_host.server.queue import Entry

_MEDIA = ("images", "gifs", "video", "videos", "audio", "3d")


def job(entry: Entry) -> dict[str, Any]:
    """The job object; what is not known is left out."""
    shown = previewable(entry.outputs)
    told = {
        "id": entry.id,
        "status": entry.state,
        "priority": entry.number,
        "create_time": entry.created,
        "execution_start_time": entry.started,
        "execution_end_time": entry.ended,
        "execution_error": _error(entry.status),
        "outputs_count": sum(len(items) for output in entry.outputs.values() for items in _lists(output)),
        "previewable_outputs_count": len(shown),
        "preview_output": shown[-1] if shown else None,
        "workflow_id": _workflow_id(entry.extra),
    }
    return {key: value for key, value in told.items() if value is not None}


def previewable(outputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every output file that can be shown, with its node and kind."""
    return [
        {**item, "nodeId": node, "mediaType": kind}
        for node, output in outputs.items()
        if isinstance(output, dict)
        for kind in _MEDIA
        for item in output.get(kind) or ()
        if isinstance(item, dict) and "filename" in item
    ]


def _lists(output: Any) -> list[list[Any]]:
    return [value for value in output.values() if isinstance(value, list)] if isinstance(output, dict) else []


def _error(status: Mapping[str, Any] | None) -> Any:
    messages = (status or {}).get("messages") or ()
    return next((data for name, data in messages if name == "execution_error"), None)


def _workflow_id(extra: Mapping[str, Any]) -> str | None:
    pnginfo = extra.get("extra_pnginfo")
    workflow = pnginfo.get("workflow") if isinstance(pnginfo, dict) else None
    found = workflow.get("id") if isinstance(workflow, dict) else None
    return found if isinstance(found, str) else None
