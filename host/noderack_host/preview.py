"""Previews: encoded pictures, and the binary frames that carry them to clients (host contract §3.4)."""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

PREVIEW_IMAGE, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
_FORMATS = {"JPEG": 1, "PNG": 2}


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded preview: the format's name as Pillow has it, and the bytes."""

    form: str
    data: bytes

    @classmethod
    def of(cls, preview: Any) -> "Picture | None":
        """The picture of a preview (format, image, longest side or None); None for anything else."""
        if not isinstance(preview, tuple) or len(preview) != 3 or not hasattr(preview[1], "save"):
            return None
        form, image, longest = preview
        form = form if form in _FORMATS else "JPEG"
        if longest and max(image.size) > longest:
            share = longest / max(image.size)
            image = image.resize((max(1, round(image.width * share)), max(1, round(image.height * share))))
        buffer = BytesIO()
        (image.convert("RGB") if form == "JPEG" else image).save(buffer, format=form, quality=90)
        return cls(form, buffer.getvalue())

    def plain(self) -> bytes:
        """Event 1: kind of picture, picture."""
        return struct.pack(">II", PREVIEW_IMAGE, _FORMATS[self.form]) + self.data

    def with_metadata(self, about: Mapping[str, Any]) -> bytes:
        """Event 4: length of the JSON, JSON that says whose picture it is, picture."""
        told = json.dumps({**about, "image_type": f"image/{self.form.lower()}"}).encode()
        return struct.pack(">II", PREVIEW_WITH_METADATA, len(told)) + told + self.data
