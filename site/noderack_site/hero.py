"""The graph on the home page: text to image as everybody first meets it, with the picture that it draws."""

from __future__ import annotations

from typing import Any

from noderack_site.draw_graph import draw_graph

_SAMPLER = "model:MODEL positive:CONDITIONING negative:CONDITIONING latent:LATENT"
_NODES = (
    ("CheckpointLoaderSimple", "Load Checkpoint", (0, 110), (200, 76), "", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    ("CLIPTextEncode", "Prompt", (270, -20), (190, 42), "clip:CLIP", "cond:CONDITIONING"),
    ("CLIPTextEncode", "Not this", (270, 60), (190, 42), "clip:CLIP", "cond:CONDITIONING"),
    ("EmptyLatentImage", "Empty Latent", (270, 290), (190, 42), "", "latent:LATENT"),
    ("KSampler", "KSampler", (540, 100), (210, 110), _SAMPLER, "LATENT:LATENT"),
    ("VAEDecode", "VAE Decode", (830, 250), (170, 56), "samples:LATENT vae:VAE", "IMAGE:IMAGE"),
    ("SaveImage", "Save Image", (1070, 90), (196, 232), "images:IMAGE", ""),
)
_LINKS = (
    (1, 0, 5, 0, "MODEL"),
    (1, 1, 2, 0, "CLIP"),
    (1, 1, 3, 0, "CLIP"),
    (2, 0, 5, 1, "CONDITIONING"),
    (3, 0, 5, 2, "CONDITIONING"),
    (4, 0, 5, 3, "LATENT"),
    (5, 0, 6, 0, "LATENT"),
    (1, 2, 6, 1, "VAE"),
    (6, 0, 7, 0, "IMAGE"),
)
_HEART = "c-4-9-17-8-17 3c0 9 12 15 17 21c5-6 17-12 17-21c0-11-13-12-17-3Z"


def draw_hero() -> str:
    """The SVG element."""
    graph = {"nodes": [_node(key, *row) for key, row in enumerate(_NODES, 1)], "links": _links()}
    drawn = draw_graph(graph, "The usual text-to-image graph")
    return drawn.removesuffix("</svg>") + _picture(1124, 210) + "</svg>"


def _links() -> list[list[Any]]:
    return [[number, *link] for number, link in enumerate(_LINKS, 1)]


def _picture(x: int, y: int) -> str:
    """What the demo's model draws for "eight yellow hearts on purple", a few of them."""
    places = ((38, 34), (98, 26), (142, 66), (62, 92), (116, 118))
    hearts = "".join(f"M{x + dx} {y + dy}{_HEART}" for dx, dy in places)
    sky = f'<rect x="{x}" y="{y}" width="168" height="168" rx="5" class="h-sky"/>'
    return f'{sky}<path d="{hearts}" class="h-heart"/>'


def _node(
    key: int, kind: str, title: str, pos: tuple[int, int], size: tuple[int, int], inputs: str, outputs: str
) -> dict[str, Any]:
    slots = {"inputs": _slots(inputs), "outputs": _slots(outputs)}
    return {"id": key, "type": kind, "title": title, "pos": list(pos), "size": list(size), **slots}


def _slots(text: str) -> list[dict[str, str]]:
    pairs = (part.split(":") for part in text.split())
    return [{"name": name, "type": socket} for name, socket in pairs]
