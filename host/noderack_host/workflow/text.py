"""Bytes to text to JSON values, as leniently as the editors of the field and no more.

Accepted: UTF-8 with or without BOM, UTF-16, NaN and Infinity, raw control characters, lone surrogates,
trailing NULs. Refused with the position: other encodings, trailing data, too deep nesting, absurd numbers.
"""

from __future__ import annotations

import codecs
import json
from typing import Any

from noderack_host.workflow.errors import WorkflowError

MAX_TEXT = 64 * 1024 * 1024
"""Longest JSON text read, in characters; the largest workflow seen in the wild is 1.02 MB."""

_DECODER = json.JSONDecoder(strict=False)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def decode(data: bytes) -> str:
    """Text of a JSON file. Raises WorkflowError with the first byte that is not text."""
    encoding = _encoding(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as cause:
        raise WorkflowError(f"not {encoding} text; save it as UTF-8", f"byte {cause.start}") from cause


def _encoding(data: bytes) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return encoding
    head = data[:4]
    if len(head) >= 2 and head[0] and not head[1]:
        return "utf-16-le"
    if len(head) >= 2 and head[1] and not head[0]:
        return "utf-16-be"
    return "utf-8"


def parse(text: str) -> Any:
    """The JSON value that `text` holds. Raises WorkflowError with line and column."""
    if len(text) > MAX_TEXT:
        raise WorkflowError(f"{len(text)} characters of JSON; the limit is {MAX_TEXT}")
    body = text.strip(" \t\r\n\0\ufeff")
    try:
        value, end = _DECODER.raw_decode(body)
    except json.JSONDecodeError as cause:
        place = f"line {cause.lineno}, column {cause.colno}"
        raise WorkflowError(f"not JSON ({cause.msg}){_kind_hint(body)}", place) from cause
    except RecursionError as cause:
        raise WorkflowError("lists and objects nest deeper than any workflow does") from cause
    except ValueError as cause:
        raise WorkflowError("a number has more digits than any workflow needs") from cause
    if end != len(body):
        line = body.count("\n", 0, end) + 1
        raise WorkflowError("more text after the end of the JSON value; remove it", f"line {line}")
    return value


def _kind_hint(body: str) -> str:
    head = body[:200].lstrip().lower()
    if head.startswith(("<!doctype", "<html", "<")):
        return "; it is an HTML or XML page, probably saved instead of the file: download the raw file"
    if head.startswith("version https://git-lfs"):
        return "; it is a Git LFS pointer: fetch the file itself with `git lfs pull`"
    if not head:
        return "; it is empty"
    return ""
