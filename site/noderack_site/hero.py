"""The graph on the home page: text to image as everybody first meets it."""

from __future__ import annotations

from typing import Any


def _node(
    key: int, kind: str, title: str, pos: tuple[int, int], size: tuple[int, int], inputs: str, outputs: str
) -> dict[str, Any]:
    def slots(text: str) -> list[dict[str, str]]:
        pairs = (part.split(":") for part in text.split())
        return [{"name": name, "type": socket} for name, socket in pairs]

    return {
        "id": key,
        "type": kind,
        "title": title,
        "pos": list(pos),
        "size": list(size),
        "inputs": slots(inputs),
        "outputs": slots(outputs),
    }


_SAMPLER = "model:MODEL positive:CONDITIONING negative:CONDITIONING latent:LATENT"
HERO: dict[str, Any] = {
    "nodes": [
        _node(
            1,
            "CheckpointLoaderSimple",
            "Load Checkpoint",
            (0, 80),
            (200, 76),
            "",
            "MODEL:MODEL CLIP:CLIP VAE:VAE",
        ),
        _node(2, "CLIPTextEncode", "Prompt", (270, 10), (190, 62), "clip:CLIP", "cond:CONDITIONING"),
        _node(3, "CLIPTextEncode", "Not this", (270, 130), (190, 62), "clip:CLIP", "cond:CONDITIONING"),
        _node(4, "EmptyLatentImage", "Empty Latent", (270, 250), (190, 42), "", "latent:LATENT"),
        _node(5, "KSampler", "KSampler", (540, 60), (210, 130), _SAMPLER, "LATENT:LATENT"),
        _node(6, "VAEDecode", "VAE Decode", (830, 30), (170, 56), "samples:LATENT vae:VAE", "IMAGE:IMAGE"),
        _node(7, "SaveImage", "Save Image", (1060, 90), (170, 110), "images:IMAGE", ""),
    ],
    "links": [
        [1, 1, 0, 5, 0, "MODEL"],
        [2, 1, 1, 2, 0, "CLIP"],
        [3, 1, 1, 3, 0, "CLIP"],
        [4, 2, 0, 5, 1, "CONDITIONING"],
        [5, 3, 0, 5, 2, "CONDITIONING"],
        [6, 4, 0, 5, 3, "LATENT"],
        [7, 5, 0, 6, 0, "LATENT"],
        [8, 1, 2, 6, 1, "VAE"],
        [9, 6, 0, 7, 0, "IMAGE"],
    ],
}
