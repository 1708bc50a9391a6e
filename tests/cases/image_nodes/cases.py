"""Inputs of image nodes, the same under any host: name -> (node, inputs). Pictures are made of a formula."""

import torch


def picture(number, height=20, width=28, channels=3):
    """Shapes with edges, and a little noise, in 0..1."""
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    drawn = torch.Generator().manual_seed(number)
    planes = []
    for c in range(channels):
        disc = ((y - 0.4 - 0.1 * c) ** 2 + (x - 0.5) ** 2 < 0.08 + 0.02 * number).float()
        bars = ((x * (3 + number)).floor() % 2) * 0.3
        planes.append((disc * 0.6 + bars + 0.1 * y).clamp(0, 1))
    noise = torch.rand(height, width, channels, generator=drawn) * 0.05
    return (torch.stack(planes, -1) * 0.95 + noise)[None].clamp(0, 1)


def mask(number, height=20, width=28):
    return picture(number, height, width)[..., 0]


MODES = (
    "ADD", "CLEAR", "DARKEN", "DST", "DST_ATOP", "DST_IN", "DST_OUT", "DST_OVER", "LIGHTEN", "MULTIPLY",
    "OVERLAY", "SCREEN", "SRC", "SRC_ATOP", "SRC_IN", "SRC_OUT", "SRC_OVER", "XOR",
)  # fmt: skip
SHAPES = ("erode", "dilate", "open", "close", "gradient", "bottom_hat", "top_hat")
_OVER = {"source": picture(1), "source_alpha": mask(3), "destination": picture(2), "destination_alpha": mask(4)}
_SMALL = {**_OVER, "source": picture(1, 12, 12), "source_alpha": mask(3, 8, 30)}
_STITCH = {"image1": picture(1), "match_image_size": True, "spacing_width": 0, "spacing_color": "white"}
CASES = {
    "canny": ("Canny", {"image": picture(1), "low_threshold": 0.2, "high_threshold": 0.5}),
    "canny, two pictures": ("Canny", {"image": torch.cat([picture(2), picture(3)]), "low_threshold": 0.1, "high_threshold": 0.3}),
    **{f"{o} {n}": ("Morphology", {"image": picture(1), "operation": o, "kernel_size": n}) for o in SHAPES for n in (3, 4)},
    **{f"over, {m}": ("PorterDuffImageComposite", {**_OVER, "mode": m}) for m in MODES},
    "over, of another size": ("PorterDuffImageComposite", {**_SMALL, "mode": "SRC_OVER"}),
    "yuv": ("ImageRGBToYUV", {"image": picture(1)}),
    "rgb": ("ImageYUVToRGB", {"Y": picture(1), "U": picture(2), "V": picture(3)}),
    "noise": ("ImageAddNoise", {"image": picture(1), "seed": 5, "strength": 0.3}),
    **{f"quantized, {d}": ("ImageQuantize", {"image": picture(1), "colors": n, "dither": d}) for n, d in ((4, "none"), (6, "floyd-steinberg"), (5, "bayer-4"), (9, "bayer-2"))},
    "stitched": ("ImageStitch", {**_STITCH, "direction": "right", "image2": picture(2, 12, 30)}),
    "stitched below": ("ImageStitch", {**_STITCH, "direction": "down", "image2": picture(2, 12, 30), "spacing_width": 4, "spacing_color": "red"}),
    "stitched, padded": ("ImageStitch", {**_STITCH, "direction": "left", "image2": picture(2, 13, 9), "match_image_size": False, "spacing_width": 2, "spacing_color": "black"}),
    "stitched above, with alpha": ("ImageStitch", {**_STITCH, "direction": "up", "image2": torch.cat([picture(2, 8, 9, 4)] * 2), "match_image_size": False, "spacing_width": 2, "spacing_color": "blue"}),
    "one alone": ("ImageStitch", {**_STITCH, "direction": "up"}),
    "padded": ("ResizeAndPadImage", {"image": picture(1), "target_width": 30, "target_height": 40, "padding_color": "white", "interpolation": "bicubic"}),
    "padded, smaller": ("ResizeAndPadImage", {"image": picture(1), "target_width": 17, "target_height": 9, "padding_color": "black", "interpolation": "area"}),
}
