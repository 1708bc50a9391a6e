"""`prestartup_script.py`: what a pack wants done before it is imported."""

import importlib
import importlib.util
import logging
import sys
from pathlib import Path

SCRIPT = "prestartup_script.py"
# A module of the field's host that untouched packs find imported already, where something provides it.
EARLY = "folder_paths"


def before_start(module: str) -> None:
    """Runs the script beside the pack's package, once in a process. A failure is told; the pack goes on."""
    if _untouched(module) and EARLY not in sys.modules and importlib.util.find_spec(EARLY):
        importlib.import_module(EARLY)
    file = _script(module)
    name = f"{module}.prestartup_script"
    if file is None or name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    script = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(script)
    except (Exception, SystemExit):  # pack code: hosts of the field go on as well
        logging.getLogger("noderack_host").exception("%s of %s failed", SCRIPT, module)


def _untouched(module: str) -> bool:
    return module.startswith("custom_nodes.") and module.count(".") == 1


def _script(module: str) -> Path | None:
    """The script of an untouched pack, found without importing the pack."""
    if not _untouched(module):
        return None
    spec = importlib.util.find_spec(module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / SCRIPT
        if file.is_file():
            return file
    return None
