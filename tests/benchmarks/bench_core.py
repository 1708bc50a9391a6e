"""The core's speed, each figure ours divided by the best peer's, on the same weights, threads and torch.

    python tests/benchmarks/bench_core.py [--only sd15_bf16 [--only …]]

Every side runs in a process of its own, as its users run it; the sides take turns. Without arguments the
networks are small and random. ``BENCH_SIZE=full`` takes SD 1.5's and SDXL's own shapes at 512 x 512 (the
weights files are written once, to ``BENCH_FOLDER``: 15 GB), ``BENCH_THREADS`` the threads, ``BENCH_ROUNDS``
the rounds that count; ``BENCH_CLOCK=cpu`` counts seconds of the processor, for a machine that does other
things beside (then one thread). ``BENCH_PEER=python:checkout`` adds the host that workflows come from. The
last line is one JSON object: {"bench": "core", "figures": {…}}; figures that end in _seconds or _bytes are no
ratios.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import core_files
import first_step as first_steps
import torch
from activations import most_alive
from noderack_diffusion.unet import UNet
from torch.utils.flop_counter import FlopCounterMode

FULL = os.environ.get("BENCH_SIZE", "small") == "full"
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
THREADS = int(os.environ.get("BENCH_THREADS", str(os.cpu_count() or 1)))
CLOCK = os.environ.get("BENCH_CLOCK", "wall")
PEER = os.environ.get("BENCH_PEER", "")
WIDTH, CELLS = (320, 64) if FULL else (64, 16)
Figures = dict[str, float]


class Side:
    """One process of ``core_side.py``."""

    def __init__(self, side: str, job: str, told: dict[str, Any]) -> None:
        python, _, checkout = PEER.partition(":") if side == "peer" else (sys.executable, "", "")
        script = str(Path(__file__).with_name("core_side.py"))
        told = {**told, "threads": THREADS, "peer": checkout, "clock": CLOCK}
        environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
        self.process = subprocess.Popen(
            [python, script, side, job, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if os.environ.get("BENCH_LOUD") else subprocess.DEVNULL,
            text=True,
            cwd=checkout or None,
            env=environment,
        )

    def ready(self) -> None:
        while True:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            if not line:
                raise SystemExit(f"a side ended early: {self.process.args}; BENCH_LOUD=1 shows why")
            if line.strip() == "ready":
                return

    def run(self) -> dict[str, float]:
        self.process.stdin.write("go\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        while True:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            if line.startswith("{"):
                return dict(json.loads(line))
            if not line:
                raise SystemExit(f"a side ended early: {self.process.args}; BENCH_LOUD=1 shows why")

    def end(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


@contextmanager
def sides(job: str, told: dict[str, Any], names: Sequence[str]) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        found = {}
        for name in names:
            found[name] = Side(name, job, told)
            stack.callback(found[name].end)
            found[name].ready()
        yield found


def race(job: str, told: dict[str, Any], names: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """Each side's least seconds, all run in turn after a first round that is not counted; what ours saw."""
    best = dict.fromkeys(names, float("inf"))
    ours: dict[str, float] = {}
    with sides(job, told, names) as running:
        for round_ in range(ROUNDS + 1):
            for name, side in running.items():
                said = side.run()
                sys.stderr.write(f"{job} {name} {said['seconds']:.2f} s\n")
                ours = said if name == "ours" else ours
                if round_:
                    best[name] = min(best[name], said["seconds"])
    return best, ours


def peers(*usual: str) -> list[str]:
    """Who runs; small networks are none that the peer host knows."""
    return ["ours", *usual, *(["peer"] if PEER and FULL else [])]


def told_of(folder: Path, family: str, dtype: str) -> dict[str, Any]:
    config = core_files.unet(family, WIDTH)
    return {
        "path": str(core_files.checkpoint(folder, family, WIDTH, dtype)),
        "family": family,
        "dtype": dtype,
        "width": WIDTH,
        "cells": CELLS,
        "context": config.context,
        "adm": config.adm,
    }


def step(name: str, folder: Path) -> Figures:
    """Seconds per step with cfg (a batch of two). A half-precision file serves SDXL in both dtypes."""
    family, dtype = name.split("_")
    stored = "bf16" if family == "sdxl" else dtype
    told = {**told_of(folder, family, stored), "dtype": dtype}
    best, ours = race("step", told, peers("diffusers"))
    found = {f"{name}_{side}_seconds": taken for side, taken in best.items()}
    found[name] = best.pop("ours") / min(best.values())
    if stored == "bf16":
        peak = ours["peak"] - ours["base"] - activations(family)
        found[f"{name}_rss_over_file"] = peak / unet_bytes(family, stored)
    return found


def unet_bytes(family: str, dtype: str) -> int:
    shapes = core_files.shapes(family, WIDTH)
    count = sum(torch.Size(s).numel() for k, s in shapes.items() if k.startswith("model."))
    return count * core_files.DTYPES[dtype][0].itemsize


def load(name: str, folder: Path) -> Figures:
    """Seconds from nothing to what can be called, from a half-precision checkpoint in a warm page cache; and
    to a first small answer (8 x 8 cells, and a text by those who have an encoder), which reads every weight.

    Ours and the peer host's load network, text encoder and autoencoder, diffusers the network alone. Where
    weights stay in the mapped file, they are read by the answer; a side that copies them reads them before.
    """
    found: Figures = {}
    for figure, answer in (("load", False), ("load_first_answer", True)):
        told = {**told_of(folder, "sd15", "bf16"), "answer": answer}
        best, _ = race("load", told, peers("diffusers"))
        found |= {f"{figure}_{side}_seconds": taken for side, taken in best.items()}
        found[figure] = best.pop("ours") / min(best.values())
    return found


def first_step(name: str, folder: Path) -> Figures:
    """Seconds from the command to the first step over a picture of 64 x 64, each as its users start it."""
    path = core_files.checkpoint(folder, "sd15", WIDTH, "bf16")
    environment = {**os.environ, "OMP_NUM_THREADS": str(THREADS)}
    with tempfile.TemporaryDirectory() as place:
        room = Path(place)
        ours = [first_steps.ours(path, room, environment) for _ in range(ROUNDS + 1)][1:]
        found = {"first_step_seconds": min(ours)}
        if PEER and FULL:
            python, _, checkout = PEER.partition(":")
            told = (python, checkout, path, room, environment)
            theirs = min([first_steps.theirs(*told) for _ in range(ROUNDS + 1)][1:])
            found |= {"first_step_peer_seconds": theirs, "first_step": min(ours) / theirs}
    return found


def lora_apply(name: str, folder: Path) -> Figures:
    """A new strength of an adapter on network and text tower, its file read anew."""
    told = {**told_of(folder, "sd15", "bf16"), "lora": str(core_files.lora(folder, "sd15", WIDTH))}
    best, _ = race("lora", told, peers())
    found = {f"lora_apply_{side}_seconds": taken for side, taken in best.items()}
    return {**found, "lora_apply": best["ours"] / best["peer"]} if "peer" in best else found


def lora_step(name: str, folder: Path) -> Figures:
    """A step with an adapter on, over one without (fp32; ours both); and the memory that it takes beside the
    weights that it changes.
    """
    told = told_of(folder, "sd15", "fp32")
    with_one = {**told, "lora": str(core_files.lora(folder, "sd15", WIDTH))}
    with sides("step", told, ["ours"]) as off, sides("step", with_one, ["ours"]) as on:
        pairs = [(on["ours"].run(), off["ours"].run()) for _ in range(ROUNDS + 1)][1:]
    took = [min(side["seconds"] for side in rounds) for rounds in zip(*pairs, strict=True)]
    more = pairs[-1][0]["private"] - pairs[-1][1]["private"]
    changed = core_files.changed_by_lora("sd15", WIDTH) * 4
    return {
        "lora_step": took[0] / took[1],
        "lora_changed_bytes": changed,
        "lora_backup_bytes": more - changed,
    }


def vae_told(folder: Path) -> dict[str, Any]:
    told = told_of(folder, "sd15", "fp32")
    return {**told, "widths": [128, 256, 512, 512]}


def vae(name: str, folder: Path) -> Figures:
    best, _ = race("vae", vae_told(folder), ["ours", "diffusers"])
    found = {f"vae_{side}_seconds": taken for side, taken in best.items()}
    return {**found, "vae": best["ours"] / best["diffusers"]}


def vae_tiled(name: str, folder: Path) -> Figures:
    """Decoding in tiles of half the picture's side, over decoding it whole (ours both); and its memory."""
    told = vae_told(folder)
    found: Figures = {}
    whole, whole_saw = race("vae", told, ["ours"])
    for mode in ("exact", "once"):
        tiles, saw = race("vae", {**told, "tile": CELLS // 2, "mode": mode}, ["ours"])
        found[f"vae_tiled_{mode}"] = tiles["ours"] / whole["ours"]
        found[f"vae_tiled_{mode}_memory"] = (saw["peak"] - saw["base"]) / (
            whole_saw["peak"] - whole_saw["base"]
        )
    return {**found, "vae_tiled": found["vae_tiled_exact"]}


def gemm_fraction(name: str, folder: Path) -> Figures:
    """Which part of the machine's own matrix rate a step of SD 1.5 reaches, fp32."""
    config = core_files.unet("sd15", WIDTH)
    with torch.device("meta"):
        network = UNet(config)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network(torch.empty(2, 4, CELLS, CELLS), torch.empty(2), torch.empty(2, 77, config.context))
    told = told_of(folder, "sd15", "fp32")
    with sides("gemm", told, ["ours"]) as rate, sides("step", told, ["ours"]) as steps:
        rows = [(rate["ours"].run()["seconds"], steps["ours"].run()["seconds"]) for _ in range(ROUNDS + 1)][
            1:
        ]
    flops = 20 * 2 * 1024 * 1280 * 5120 / min(a for a, _ in rows)
    return {
        "gemm_fraction": counter.get_total_flops() / min(b for _, b in rows) / flops,
        "gemm_gflops": flops / 1e9,
    }


def activations(family: str) -> int:
    """Bytes that a step's tensors take at most beside the weights, counted without computing."""
    config = core_files.unet(family, WIDTH)
    with torch.device("meta"):
        network, y = UNet(config).eval(), torch.empty(2, config.adm) if config.adm else None
        given = (torch.empty(2, 4, CELLS, CELLS), torch.empty(2), torch.empty(2, 77, config.context))
        return most_alive(lambda: network(*given, y=y))


def rss_over_file(name: str, folder: Path) -> Figures:
    """Memory at its peak over steps, less what Python and torch take and what the activations do, over the
    network's weights as they lie in the file.
    """
    found: Figures = {"activation_bytes": activations("sd15")}
    for dtype in ("fp32", "bf16"):
        _, ours = race("step", told_of(folder, "sd15", dtype), ["ours"])
        size, peak = unet_bytes("sd15", dtype), ours["peak"] - ours["base"]
        found |= {f"rss_peak_bytes_{dtype}": peak, f"file_bytes_{dtype}": size}
        found[f"rss_over_file_{dtype}"] = (peak - found["activation_bytes"]) / size
    return {**found, "rss_over_file": max(found["rss_over_file_fp32"], found["rss_over_file_bf16"])}


FIGURES: dict[str, Callable[[str, Path], Figures]] = {
    **{f"{family}_{dtype}": step for family in ("sd15", "sdxl") for dtype in ("fp32", "bf16")},
    "load": load,
    "first_step": first_step,
    "lora_apply": lora_apply,
    "lora_step": lora_step,
    "vae": vae,
    "vae_tiled": vae_tiled,
    "gemm_fraction": gemm_fraction,
    "rss_over_file": rss_over_file,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=sorted(FIGURES), metavar="FIGURE")
    wanted = parser.parse_args().only or list(FIGURES)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(os.environ.get("BENCH_FOLDER", place))
        for name in wanted:
            figures |= FIGURES[name](name, folder)
    said = {k: round(v, 4) for k, v in figures.items()}
    sys.stdout.write(json.dumps({"bench": "core", "figures": said}) + "\n")


if __name__ == "__main__":
    main()
