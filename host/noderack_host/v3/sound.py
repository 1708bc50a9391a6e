"""One sound as a file: WAV by the standard library, flac, mp3 and opus by PyAV (`noderack[audio]`).

Errors:
    SoundError   a sound that cannot be written so: says why and what would do
"""

import importlib
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_CODECS = {"flac": "flac", "mp3": "libmp3lame", "opus": "libopus"}
_RATES = {"opus": (8000, 12000, 16000, 24000, 48000)}
_QUALITIES = {"64k": 64000, "96k": 96000, "128k": 128000, "192k": 192000, "320k": 320000}


class SoundError(ValueError):
    """A sound that cannot be written."""


def write_sound(
    path: Path,
    sound: Any,
    rate: int,
    format: str,
    quality: str = "128k",
    texts: Mapping[str, str] | None = None,
) -> None:
    """Writes a sound, float [C, T] in -1…1 with one or two channels, at `rate` Hz; raises SoundError.

    quality: 64k to 320k for opus and mp3, or V0 for mp3. texts: metadata, which WAV has no place for.
    """
    channels = int(sound.shape[0])
    if channels not in (1, 2):
        raise SoundError(f"a sound with {channels} channels cannot be saved; mix it down to one or two")
    if format == "wav":
        _write_wav(path, sound, rate)
    elif format in _CODECS:
        _write_compressed(path, sound, rate, format, quality, texts or {})
    else:
        raise SoundError(f"sounds cannot be saved as {format!r}; use flac, mp3, opus or wav")


def _write_wav(path: Path, sound: Any, rate: int) -> None:
    samples = (sound.T.clamp(-1, 1) * 32767).round().short().cpu().contiguous().numpy()
    with wave.open(str(path), "wb") as out:
        out.setnchannels(int(sound.shape[0]))
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.astype("<i2").tobytes())


def _write_compressed(
    path: Path, sound: Any, rate: int, format: str, quality: str, texts: Mapping[str, str]
) -> None:
    av = _av(format)
    layout = "mono" if int(sound.shape[0]) == 1 else "stereo"
    with av.open(str(path), mode="w", format=format) as out:
        out.metadata.update(texts)
        stream = out.add_stream(_CODECS[format], rate=_rate_for(format, rate), layout=layout)
        if format == "mp3" and quality == "V0":
            stream.codec_context.qscale = 1
        elif format != "flac":
            stream.bit_rate = _QUALITIES.get(quality, _QUALITIES["128k"])
        samples = sound.detach().float().cpu().T.contiguous().reshape(1, -1).numpy()
        frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _rate_for(format: str, rate: int) -> int:
    """The rate itself, or the next higher one that the format knows; PyAV resamples."""
    known = _RATES.get(format)
    return rate if known is None else next((item for item in known if item >= rate), known[-1])


def _av(format: str) -> Any:
    try:
        return importlib.import_module("av")
    except ImportError as cause:
        told = f"to save sounds as {format}, PyAV is needed: install noderack[audio], or save as wav"
        raise SoundError(told) from cause
