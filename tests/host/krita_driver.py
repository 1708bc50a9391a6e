"""`python krita_driver.py CHECKOUT URL`: the Krita plugin's own connection code on a server, without Krita.

Needs PyQt5, Pillow, numpy and websockets. Connects, lists the models, generates one picture with the first
checkpoint of the Stable Diffusion 1.5 kind, cancels another, and prints what happened as one line of JSON.
"""

import json
import os
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType


def prepare(checkout: Path) -> None:
    """A checkout lacks the submodule that the plugin ships its sockets as: the published package does."""
    import websockets
    import websockets.exceptions

    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    sys.path[:0] = [str(checkout), str(checkout / "tests" / "mock")]
    for name in ("ai_diffusion.websockets", "ai_diffusion.websockets.src"):
        module = ModuleType(name)
        module.__spec__ = ModuleSpec(name, None, is_package=True)
        module.__path__ = []
        sys.modules[name] = module
    module.websockets = websockets


async def drive(url: str) -> dict[str, object]:
    from ai_diffusion.backend.api import (
        CheckpointInput,
        ConditioningInput,
        ImageInput,
        SamplingInput,
        WorkflowInput,
        WorkflowKind,
    )
    from ai_diffusion.backend.client import ClientEvent
    from ai_diffusion.backend.comfy_client import ComfyClient
    from ai_diffusion.image import Extent
    from ai_diffusion.settings import settings
    from ai_diffusion.style import Arch

    settings.check_server_resources = False  # the models that it wants are not needed for a plain picture
    client = ComfyClient(url)
    await client.connect()
    statuses = [status.folder async for status in client.discover_models(refresh=False)]
    mine = [name for name, info in client.models.checkpoints.items() if info.arch is Arch.sd15]

    def work(steps: int) -> WorkflowInput:
        return WorkflowInput(
            WorkflowKind.generate,
            models=CheckpointInput(mine[0]),
            images=ImageInput.from_extent(Extent(512, 512)),
            conditioning=ConditioningInput("a red circle", ""),
            sampling=SamplingInput("euler", "normal", cfg_scale=4.0, total_steps=steps),
        )

    told: dict[str, object] = {"device": client.device_info.type, "inspected": statuses, "checkpoints": mine}
    progress, wanted = 0, ""
    async for message in client.listen():
        if message.event is ClientEvent.connected and not wanted:
            wanted = await client.enqueue(work(4))
        if message.event is ClientEvent.progress:
            progress += 1
            if told.get("picture"):
                await client.interrupt()
        if message.event is ClientEvent.finished:
            extent = message.images[0].extent
            told |= {"picture": [extent.width, extent.height], "progress": progress}
            wanted = await client.enqueue(work(1000))
        if message.event is ClientEvent.interrupted:
            told["interrupted"] = message.job_id == wanted
            break
        if message.event is ClientEvent.error:
            told["error"] = message.error
            break
    await client.disconnect()
    return told


def main(checkout: Path, url: str) -> None:
    prepare(checkout)
    from PyQt5.QtCore import QCoreApplication

    application = QCoreApplication([])
    from ai_diffusion import eventloop

    eventloop.setup()
    task = eventloop.run(drive(url))
    while not task.done():
        application.processEvents()
    print(json.dumps(task.result()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
