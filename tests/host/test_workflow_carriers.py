"""Every carrier gives back the workflow that was put in, or a sentence; read by content, not by name."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from noderack_host.workflow import WorkflowError, read_workflow
from noderack_host.workflow.carriers import carrier_of

CASES = Path(__file__).parents[1] / "cases/workflows"
UI = (CASES / "txt2img.ui.json").read_text()
API = (CASES / "txt2img.api.json").read_text()


def chunk(kind: bytes, body: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", check)


def png(*chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def png_text(text: str = UI) -> bytes:
    return png(chunk(b"tEXt", b"workflow\0" + text.encode()), chunk(b"tEXt", b"prompt\0" + API.encode()))


def png_zip() -> bytes:
    return png(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(UI.encode())))


def png_international() -> bytes:
    body = b"workflow\0\1\0en\0Arbeit\0" + zlib.compress(UI.encode())
    return png(chunk(b"iTXt", body), chunk(b"iTXt", b"prompt\0\0\0\0\0" + API.encode()))


def png_wrong_crc() -> bytes:
    return png(chunk(b"tEXt", b"workflow\0" + UI.encode(), crc=1))


def png_animated() -> bytes:
    return png(chunk(b"comf", b"workflow\0" + UI.encode()))


def tiff(order: str = "<", tags: dict[int, bytes] | None = None) -> bytes:
    tags = tags or {0x010F: b"workflow:" + UI.encode(), 0x0110: b"prompt:" + API.encode()}
    entries, data, at = b"", b"", 8 + 2 + 12 * len(tags) + 4
    for tag, text in sorted(tags.items()):
        entries += struct.pack(f"{order}HHII", tag, 2, len(text), at + len(data))
        data += text
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}H", len(tags)) + entries + bytes(4) + data


def webp(body: bytes) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1)

    inner = b"WEBP" + part(b"VP8L", b"abc") + part(b"EXIF", body)
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def jpeg() -> bytes:
    body = b"Exif\0\0" + tiff(">")
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(body) + 2) + body + b"\xff\xda\0\2" + b"\xff\xd9"


def gif() -> bytes:
    text = UI.encode()
    blocks = b"".join(bytes([len(text[n : n + 255])]) + text[n : n + 255] for n in range(0, len(text), 255))
    return b"GIF89a\1\0\1\0\0\0\0" + b"\x21\xfe" + blocks + b"\0\x3b"


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def data_box(text: str) -> bytes:
    return box(b"data", struct.pack(">II", 1, 0), text.encode())


def mp4_keys() -> bytes:
    keys = box(b"keys", bytes(4), struct.pack(">I", 2), box(b"mdta", b"workflow"), box(b"mdta", b"prompt"))
    items = box(b"ilst", box(struct.pack(">I", 1), data_box(UI)), box(struct.pack(">I", 2), data_box(API)))
    meta = box(b"meta", box(b"hdlr", bytes(24)), keys, items)
    return box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(64)) + box(b"moov", meta)


def mp4_comment() -> bytes:
    both = json.dumps({"prompt": API, "workflow": json.loads(UI)})
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(24)), box(b"ilst", box(b"\xa9cmt", data_box(both))))
    return box(b"ftyp", b"isom", bytes(4)) + box(b"moov", box(b"udta", meta))


def vint(number: int, size: int) -> bytes:
    return (number | 1 << (7 * size)).to_bytes(size, "big")


def element(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return kind.to_bytes((kind.bit_length() + 7) // 8, "big") + vint(len(body), 8) + body


def webm() -> bytes:
    def tag(key: str, text: str) -> bytes:
        return element(0x7373, element(0x67C8, element(0x45A3, key.encode()), element(0x4487, text.encode())))

    tags = element(0x1254C367, tag("WORKFLOW", UI), tag("PROMPT", API))
    return element(0x1A45DFA3, b"\x42\x82\x84webm") + element(0x18538067, element(0xEC, bytes(9)), tags)


def synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def mp3(version: int = 4) -> bytes:
    frames = b""
    for key, text in (("workflow", UI), ("prompt", API)):
        body = b"\x03" + key.encode() + b"\0" + text.encode()
        size = synchsafe(len(body)) if version == 4 else struct.pack(">I", len(body))
        frames += b"TXXX" + size + b"\0\0" + body
    return b"ID3" + bytes([version, 0, 0]) + synchsafe(len(frames)) + frames + b"\xff\xfb\x90\0"


def comments() -> bytes:
    lines = [f"workflow={UI}".encode(), f"PROMPT={API}".encode()]
    packed = b"".join(struct.pack("<I", len(line)) + line for line in lines)
    return struct.pack("<I", 4) + b"test" + struct.pack("<I", len(lines)) + packed


def flac() -> bytes:
    body = comments()
    return (
        b"fLaC" + b"\0" + (34).to_bytes(3, "big") + bytes(34) + b"\x84" + len(body).to_bytes(3, "big") + body
    )


def ogg() -> bytes:
    pages = b""
    for packet in (b"OpusHead" + bytes(11), b"OpusTags" + comments()):
        lacing = [255] * (len(packet) // 255) + [len(packet) % 255]
        for n in range(0, len(lacing), 255):
            part = lacing[n : n + 255]
            start = n * 255
            pages += (
                b"OggS" + bytes(22) + bytes([len(part)]) + bytes(part) + packet[start : start + sum(part)]
            )
    return pages


def zipped(name: str = "a/flow.json", data: bytes = UI.encode()) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.md", "hello")
        archive.writestr(name, data)
    return out.getvalue()


def glb() -> bytes:
    text = json.dumps(
        {"asset": {"version": "2.0", "extras": {"workflow": json.loads(UI), "prompt": API}}}
    ).encode()
    return b"glTF" + struct.pack("<II", 2, 20 + len(text)) + struct.pack("<I", len(text)) + b"JSON" + text


def latent() -> bytes:
    text = json.dumps({"__metadata__": {"workflow": UI, "prompt": API}}).encode()
    return struct.pack("<Q", len(text)) + text


def svg() -> bytes:
    held = json.dumps({"prompt": json.loads(API), "workflow": json.loads(UI)})
    return f'<svg xmlns="x"><metadata><![CDATA[{held}]]></metadata></svg>'.encode()


CARRIERS: list[tuple[str, Callable[[], bytes], str]] = [
    ("png", png_text, "ui+api"),
    ("png", png_zip, "ui"),
    ("png", png_international, "ui+api"),
    ("png", png_wrong_crc, "ui"),
    ("png", png_animated, "ui"),
    ("webp", lambda: webp(tiff()), "ui+api"),
    ("webp", lambda: webp(b"Exif\0\0" + tiff(">", {0x8298: b"workflow:" + UI.encode()})), "ui"),
    ("jpeg", jpeg, "ui+api"),
    ("tiff", tiff, "ui+api"),
    ("gif", gif, "ui"),
    ("mp4", mp4_keys, "ui+api"),
    ("mp4", mp4_comment, "ui+api"),
    ("matroska", webm, "ui+api"),
    ("mp3", mp3, "ui+api"),
    ("mp3", lambda: mp3(3), "ui+api"),
    ("flac", flac, "ui+api"),
    ("ogg", ogg, "ui+api"),
    ("zip", zipped, "ui"),
    ("zip", lambda: zipped("picture.png", png_text()), "ui+api"),
    ("gzip", lambda: gzip.compress(UI.encode()), "ui"),
    ("glb", glb, "ui+api"),
    ("safetensors", latent, "ui+api"),
    ("svg", svg, "ui+api"),
]


@pytest.mark.parametrize(
    ("carrier", "make", "forms"), CARRIERS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_carrier_gives_back_what_it_holds(carrier: str, make: Callable[[], bytes], forms: str) -> None:
    data = make()
    assert carrier_of(data) == carrier
    workflow = read_workflow(data)
    assert workflow.carrier == carrier
    assert workflow.ui == json.loads(UI)
    assert (workflow.api is not None) == ("api" in forms)


@pytest.mark.parametrize(
    ("carrier", "make", "forms"), CARRIERS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_cut_files_give_a_workflow_or_a_sentence(carrier: str, make: Callable[[], bytes], forms: str) -> None:
    data = make()
    for end in [*range(0, 40), *range(40, len(data), max(len(data) // 40, 1))]:
        try:
            read_workflow(data[:end])
        except WorkflowError as error:
            assert len(str(error)) > 10


def test_the_name_of_a_file_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(png_text())
    assert read_workflow(path).carrier == "png"


def test_a_broken_prompt_beside_a_whole_graph_is_noted() -> None:
    data = webp(tiff(tags={0x010F: b"workflow:" + UI.encode(), 0x0110: b"prompt:" + API.encode()[:-2]}))
    workflow = read_workflow(data)
    assert (workflow.ui is not None, workflow.api) == (True, None)
    assert [note.code for note in workflow.notes] == ["passed-over"]
    assert "tag 0x0110" in workflow.notes[0].where


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(chunk(b"tEXt", b"parameters\0a cat, steps: 20")), "`parameters` of another tool"),
        (png(), "no texts at all"),
        (png(chunk(b"tEXt", b"Software\0gimp")), "only these texts: Software"),
        (png(chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"[" * 50_000_000))), "refused"),
        (zipped("flow.json", b" " * 50_000_000), "refused"),
        (gzip.compress(bytes(50_000_000)), "refused"),
        (b"PK\x03\x04 not really", "zip archive is broken"),
    ],
)
def test_pictures_without_a_workflow_say_why(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowError, match=words):
        read_workflow(data)
