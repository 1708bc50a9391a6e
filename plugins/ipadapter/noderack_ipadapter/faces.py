"""Faces as prompts: what a face recognition model makes of a face, and CLIP where the adapter asks for both.

Finding and recognising faces is the work of the package insightface, which is not part of Noderack (its
models may not be used for all purposes). What comes from it is a vector for each face, and these may come
from elsewhere as well.
"""

from typing import Any

import torch
from torch import Tensor

from noderack_ipadapter.apply import COMBINE, Wish, put_tokens, tower_of
from noderack_ipadapter.files import FACE, Adapter, IPAdapterError
from noderack_ipadapter.project import FacePlus, Resampler

LACKING = (
    "finding faces in pictures needs the package insightface, which Noderack does not bring: install it into "
    "this host's environment, or give the vectors of faces to NoderackFaceID"
)
_SIZES = range(640, 256, -64)


def put_faces(
    model: Any,
    adapter: Adapter,
    faces: Tensor,
    wish: Wish,
    *,
    picture: Tensor | None = None,
    scale: float = 1.0,
    combine: str = "concat",
    mask: Tensor | None = None,
    vision: Any = None,
) -> Any:
    """A model that draws these faces. ``faces [B, 512]``; ``picture [B, H, W, 3]`` shows them, for adapters
    that look through CLIP too, of which ``scale`` says how much their second version takes.
    """
    if not adapter.of_faces:
        raise IPAdapterError(f"{adapter.name} is no IP-Adapter of faces (FaceID): use IPAdapterAdvanced")
    faces = faces.reshape(-1, faces.shape[-1]).float()
    if faces.shape[-1] != FACE:
        raise IPAdapterError(f"a face is a vector of {FACE} numbers; these have {faces.shape[-1]}")
    joined = faces if wish.each else COMBINE[combine](faces)
    yes, no = _tokens(adapter, joined, picture, scale, combine, vision, each=wish.each)
    return put_tokens(model, adapter, yes, no, wish, mask)


@torch.no_grad()
def _tokens(
    adapter: Adapter,
    faces: Tensor,
    picture: Tensor | None,
    scale: float,
    combine: str,
    vision: Any,
    *,
    each: bool,
) -> tuple[Tensor, Tensor]:
    network, nobody = adapter.projector, torch.zeros_like(faces)
    if not isinstance(network, FacePlus):
        if isinstance(network, Resampler):
            faces, nobody = faces[:, None], nobody[:, None]
        rows = network(faces), network(nobody)
    else:
        if picture is None:
            raise IPAdapterError(f"{adapter.name} also looks at the face through CLIP: give it the picture")
        patches, grey = _patches(tower_of(adapter, vision), picture)
        patches = patches if each else COMBINE[combine](patches)
        grey, used = grey.expand(len(patches), -1, -1), scale if adapter.is_second else None
        rows = network.asked(faces, patches, used), network.asked(nobody, grey, used)
    if each:
        return rows
    yes, no = (row.reshape(1, -1, row.shape[-1]) for row in rows)
    return yes, no


def _patches(vision: Any, picture: Tensor) -> tuple[Tensor, Tensor]:
    from noderack_diffusion.vision import normalised

    size = vision.config.size
    seen = vision.encode_pixels(normalised(picture, size, crop=True)).penultimate_hidden_states
    grey = vision.encode_pixels(torch.zeros(1, 3, size, size)).penultimate_hidden_states
    return seen, grey


def insight(provider: str, name: str) -> Any:
    """The models of the package insightface, ready; raises IPAdapterError where it is not installed."""
    try:
        from insightface.app import FaceAnalysis  # type: ignore[import-not-found]
    except ImportError as cause:
        raise IPAdapterError(LACKING) from cause
    from noderack_host.running import current

    folders = current().host
    root = None if folders is None else str(folders.models / "insightface")
    found = FaceAnalysis(name=name, root=root, providers=[f"{provider}ExecutionProvider"])
    found.prepare(ctx_id=0, det_size=(640, 640))
    return found


def found_in(insightface: Any, pictures: Tensor, adapter: Adapter) -> tuple[Tensor, Tensor]:
    """The first face of each picture: vectors ``[B, 512]``, and the faces cut out ``[B, s, s, 3]``."""
    if insightface is None:
        raise IPAdapterError(LACKING)
    import numpy

    plain = "unnorm" in adapter.name.lower()
    side, vectors, cut = 256 if adapter.context == 2048 else 224, [], []
    for picture in pictures:
        pixels = (picture[..., :3].clamp(0, 1) * 255).byte().cpu().numpy()[..., ::-1].copy()
        face = _largest_look(insightface, pixels)
        vectors.append(torch.from_numpy(numpy.asarray(face.embedding if plain else face.normed_embedding)))
        cut.append(_aligned(pixels, face, side))
    return torch.stack(vectors).float(), torch.stack(cut)


def _largest_look(insightface: Any, pixels: Any) -> Any:
    for size in _SIZES:
        insightface.det_model.input_size = (size, size)
        faces = insightface.get(pixels)
        if faces:
            return faces[0]
    raise IPAdapterError("there is no face in the picture, or none that the model can see")


def _aligned(pixels: Any, face: Any, side: int) -> Tensor:
    try:
        from insightface.utils import face_align  # type: ignore[import-not-found]
    except ImportError as cause:
        raise IPAdapterError(LACKING) from cause
    cut = face_align.norm_crop(pixels, landmark=face.kps, image_size=side)
    return torch.from_numpy(cut[..., ::-1].copy()).float() / 255.0
