"""The nodes. A template and a seed decide the text; nothing else does."""

from itertools import islice
from typing import Any

from .files import OWN, host_folder, read_lists
from .fill import Lists, combinations, fill

Inputs = dict[str, dict[str, tuple[Any, ...]]]
EXAMPLE = "a {small|large} __animal__, __medium__, __lighting__"
_TEMPLATE = (
    "STRING",
    {"default": EXAMPLE, "multiline": True, "tooltip": "Choices {a|b}, word lists __name__."},
)


def _lists() -> Lists:
    """The lists of the host that runs this, then those of the pack."""
    folder = host_folder()
    return read_lists(folder, OWN) if folder else read_lists(OWN)


class WildcardPrompt:
    DESCRIPTION = "Fills in a prompt template by seed."
    CATEGORY = "text/wildcards"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("text",)
    OUTPUT_TOOLTIPS = ("One text, or a list of `count` different ones.",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "template": _TEMPLATE,
                "seed": (
                    "INT",
                    {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF, "control_after_generate": True},
                ),
            },
            "optional": {
                "count": (
                    "INT",
                    {"default": 1, "min": 1, "max": 1024, "tooltip": "How many texts to write."},
                ),
            },
        }

    def run(self, template: str, seed: int, count: int = 1) -> tuple[list[str]]:
        lists = _lists()
        # Different texts as long as there are some: a seed whose text is already there gives way to the next.
        texts = dict.fromkeys(fill(template, lists, seed + step) for step in range(4 * count))
        again = (fill(template, lists, seed + step) for step in range(count))
        return ([*islice(texts, count), *again][:count],)


class AllCombinations:
    DESCRIPTION = "Writes out every text that a template can become."
    CATEGORY = "text/wildcards"
    RETURN_TYPES = ("STRING", "INT")
    RETURN_NAMES = ("text", "count")
    OUTPUT_IS_LIST = (True, False)
    FUNCTION = "run"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        limit = {"default": 64, "min": 1, "max": 4096, "tooltip": "Stops after this many texts."}
        skip = {"default": 0, "min": 0, "max": 1_000_000, "tooltip": "Leaves out the first ones."}
        return {
            "required": {"template": _TEMPLATE, "limit": ("INT", limit)},
            "optional": {"skip": ("INT", skip)},
        }

    def run(self, template: str, limit: int, skip: int = 0) -> tuple[list[str], int]:
        texts = list(islice(combinations(template, _lists()), skip, skip + limit))
        return texts, len(texts)


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "NoderackWildcardPrompt": WildcardPrompt,
    "NoderackAllCombinations": AllCombinations,
}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {
    "NoderackWildcardPrompt": "Wildcard Prompt",
    "NoderackAllCombinations": "All Combinations",
}
