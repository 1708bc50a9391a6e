"""The nodes, in the schema form (V3). A template and a seed decide the text; nothing else does."""

from itertools import islice
from typing import Any

from noderack_host.v3 import ComfyExtension, io

from .files import OWN, host_folder, read_lists
from .fill import Lists, combinations, fill

EXAMPLE = "a {small|large} __animal__, __medium__, __lighting__"
CATEGORY = "text/wildcards"


def _lists() -> Lists:
    """The lists of the host that runs this, then those of the pack."""
    folder = host_folder()
    return read_lists(folder, OWN) if folder else read_lists(OWN)


def different_texts(template: str, seed: int, count: int) -> list[str]:
    """`count` texts, different ones as long as there are some.

    A seed whose text is already there gives way to the next one, up to four times as many as asked for.
    """
    lists = _lists()
    texts = dict.fromkeys(fill(template, lists, seed + step) for step in range(4 * count))
    again = (fill(template, lists, seed + step) for step in range(count))
    return [*islice(texts, count), *again][:count]


def _template() -> Any:
    return io.String.Input(
        "template", default=EXAMPLE, multiline=True, tooltip="Choices {a|b}, word lists __name__."
    )


class WildcardPrompt(io.ComfyNode):
    """Fills in a prompt template by seed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        seed = io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True)
        count = io.Int.Input(
            "count", optional=True, default=1, min=1, max=1024, tooltip="How many texts to write."
        )
        return io.Schema(
            node_id="NoderackWildcardPrompt",
            display_name="Wildcard Prompt",
            category=CATEGORY,
            description="Fills in a prompt template by seed.",
            inputs=[_template(), seed, count],
            outputs=[io.String.Output(display_name="text", is_output_list=True)],
        )

    @classmethod
    def execute(cls, template: str, seed: int, count: int = 1) -> io.NodeOutput:
        return io.NodeOutput(different_texts(template, seed, count))


class AllCombinations(io.ComfyNode):
    """Writes out every text that a template can become."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        limit = io.Int.Input("limit", default=64, min=1, max=4096, tooltip="Stops after this many texts.")
        skip = io.Int.Input(
            "skip", optional=True, default=0, min=0, max=1_000_000, tooltip="Leaves out the first ones."
        )
        return io.Schema(
            node_id="NoderackAllCombinations",
            display_name="All Combinations",
            category=CATEGORY,
            description="Writes out every text that a template can become.",
            inputs=[_template(), limit, skip],
            outputs=[
                io.String.Output(display_name="text", is_output_list=True),
                io.Int.Output(display_name="count"),
            ],
        )

    @classmethod
    def execute(cls, template: str, limit: int, skip: int = 0) -> io.NodeOutput:
        texts = list(islice(combinations(template, _lists()), skip, skip + limit))
        return io.NodeOutput(texts, len(texts))


class Wildcards(ComfyExtension):
    """The pack, as hosts ask for it."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [WildcardPrompt, AllCombinations]


async def comfy_entrypoint() -> Wildcards:
    """Where hosts begin."""
    return Wildcards()
