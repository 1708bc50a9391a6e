"""Rules on what a pack needs: pins of what the host brings, imports that nothing declares."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from noderack_registry.packing import requirements as reading
from noderack_registry.packing.finding import Edit, Finding
from noderack_registry.packing.metadata import PackMetadata
from noderack_registry.packing.source import Source

# What every host brings: a pack may name these, and must not pin them.
CORE = frozenset(
    {"torch", "torchvision", "torchaudio", "torchsde", "numpy", "pillow", "safetensors", "transformers"}
    | {"tokenizers", "sentencepiece", "aiohttp", "huggingface-hub", "scipy", "tqdm", "psutil", "pyyaml"}
    | {"einops", "kornia", "spandrel", "av", "requests", "yarl"}
)
HOST_MODULES = frozenset(
    [
        "folder_paths",
        "nodes",
        "server",
        "execution",
        "node_helpers",
        "latent_preview",
        "comfy",
        "comfy_execution",
        "comfy_api",
        "comfy_extras",
        "comfy_api_nodes",
        "comfy_config",
        "comfyui_version",
        "app",
        "utils",
        "main",
        "protocol",
        "api_server",
        "cuda_malloc",
        "custom_nodes",
        "noderack_host",
        "noderack_diffusion",
        "noderack_nodes",
    ]
)
FIELD_MODULES = frozenset(
    {"folder_paths", "nodes", "server", "execution", "node_helpers", "latent_preview"}
) | {
    "comfy",
    "comfy_execution",
    "comfy_api",
    "comfy_extras",
}
# What comes with the field's host and not with ours, module to distribution: packs import it undeclared.
FIELD_BRINGS = {
    "torchvision": "torchvision",
    "torchaudio": "torchaudio",
    "torchsde": "torchsde",
    "einops": "einops",
    "transformers": "transformers",
    "huggingface_hub": "huggingface-hub",
    "sentencepiece": "sentencepiece",
    "scipy": "scipy",
    "kornia": "kornia",
    "spandrel": "spandrel",
    "av": "av",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "psutil": "psutil",
    "requests": "requests",
    "filelock": "filelock",
    "regex": "regex",
    "blake3": "blake3",
    "simpleeval": "simpleeval",
    "pydantic": "pydantic",
    "pydantic_settings": "pydantic-settings",
    "sqlalchemy": "sqlalchemy",
    "alembic": "alembic",
    "OpenGL": "pyopengl",
}
# Names that a pack's own files hardly have by chance.
CERTAIN = frozenset(
    {"folder_paths", "comfy", "comfy_api", "comfy_execution", "node_helpers", "latent_preview"}
)
# Module to distribution, where the two differ.
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "bs4": "beautifulsoup4",
    "git": "gitpython",
    "dotenv": "python-dotenv",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "OpenGL": "pyopengl",
    "serial": "pyserial",
    "google": "google-api-core",
    "mpl_toolkits": "matplotlib",
    "pkg_resources": "setuptools",
    "segment_anything": "segment-anything",
    "colour": "colour-science",
    "color_matcher": "color-matcher",
    "pywt": "pywavelets",
    "dateutil": "python-dateutil",
    "cpuinfo": "py-cpuinfo",
    "Crypto": "pycryptodome",
    "jwt": "pyjwt",
    "magic": "python-magic",
    "fitz": "pymupdf",
    "huggingface_hub": "huggingface-hub",
    "groundingdino": "groundingdino-py",
    "clip": "clip",
    "win32api": "pywin32",
}


def requirements(source: Source) -> Iterator[Finding]:
    """Findings on requirements.txt, line by line."""
    file = source.root / "requirements.txt"
    if not file.is_file():
        return
    for number, line in enumerate(reading.decode(file.read_bytes()).splitlines(), 1):
        clean = reading.COMMENT.sub("", line).strip()
        if not clean or clean.startswith("-"):
            continue
        try:
            asked = Requirement(reading.requirement(clean))
        except (ValueError, InvalidRequirement) as cause:
            yield Finding(
                "requirement", "warning", file.name, number, str(cause), "write it as name>=version"
            )
            continue
        yield from _pinned(asked, number)


def declared_in_project(source: Source, project: Mapping[str, Any]) -> Iterator[Finding]:
    """The same findings on [project].dependencies, at the lines that they stand on."""
    file, given = source.root / "pyproject.toml", project.get("project")
    wanted = given.get("dependencies") if isinstance(given, Mapping) else None
    if not isinstance(wanted, list):
        return
    lines = file.read_text("utf-8", "replace").splitlines()
    found: list[tuple[int, Finding]] = []
    mended: dict[int, str] = {}  # several may stand on one line
    for need in (one for one in wanted if isinstance(one, str)):
        number = next((n for n, text in enumerate(lines, 1) if f'"{need}"' in text or f"'{need}'" in text), 0)
        for finding in _findings(need, number):
            found.append((number, finding))
            if number and finding.edit is not None and finding.edit.text:
                mended[number] = mended.get(number, lines[number - 1]).replace(need, finding.edit.text)
    for number, finding in found:
        edit = Edit(file.name, number, mended[number]) if finding.edit and number in mended else None
        yield replace(finding, file=file.name, edit=edit)


def _findings(need: str, number: int) -> Iterator[Finding]:
    try:
        yield from _pinned(Requirement(need), number)
    except InvalidRequirement:
        return


def distributions(pack: PackMetadata) -> Iterator[Finding]:
    """The same findings on what a wheel's METADATA asks for; line by line there too, counted by entry."""
    for number, line in enumerate(pack.requires, 1):
        try:
            asked = Requirement(line)
        except InvalidRequirement:
            continue  # the gate has refused such a wheel
        if asked.marker is None or "extra" not in str(asked.marker):
            for finding in _pinned(asked, number):
                yield replace(finding, file="METADATA", line=0, edit=None)


def _pinned(asked: Requirement, number: int) -> Iterator[Finding]:
    name = canonicalize_name(asked.name)
    caps = [str(s) for s in asked.specifier if s.operator in ("==", "===", "<", "<=", "~=")]
    if name in CORE and caps:
        floors = [str(s) for s in asked.specifier if s.operator in (">=", ">")]
        extras = f"[{','.join(sorted(asked.extras))}]" if asked.extras else ""
        marker = f" ; {asked.marker}" if asked.marker else ""
        text = f"{asked.name}{extras}{','.join(floors)}{marker}"
        message = (
            f"{asked} holds back a library that the host brings: packs with other wishes cannot be beside it"
        )
        edit = Edit("requirements.txt", number, text)
        yield Finding("pinned-core", "error", "requirements.txt", number, message, f"write {text}", edit)
    elif any(s.operator in ("==", "===") for s in asked.specifier):
        message = f"{asked} allows one version only"
        mend = f"write a range: {asked.name}>={next(iter(asked.specifier)).version}"
        yield Finding("pinned", "warning", "requirements.txt", number, message, mend)
    if asked.url:
        message = f"{asked.name} comes from {asked.url}, outside of any index"
        mend = "publish it, or say in the README why it must be so"
        yield Finding("direct-reference", "note", "requirements.txt", number, message, mend)


def imports(source: Source, pack: PackMetadata, texts: Mapping[str, bytes]) -> Iterator[Finding]:
    """Modules that are imported, and come from no place that is declared."""
    own = _own_modules(source)
    declared = {canonicalize_name(re.split(r"[ \[;<>=!~@]", line)[0]) for line in pack.requires}
    seen: set[str] = set()
    for file, data in texts.items():
        for module, line, guarded in _imported(data):
            name = canonicalize_name(DISTRIBUTIONS.get(module, module))
            if module in own or module in HOST_MODULES or module in sys.stdlib_module_names or module in seen:
                continue
            if (
                name in CORE
                or name in declared
                or canonicalize_name(module) in declared
                or _flavour(name, declared)
            ):
                continue
            seen.add(module)
            yield _undeclared(source, file, line, module, name, guarded)


def host_modules(source: Source) -> tuple[str, ...]:
    """The modules of the field's host that a pack imports, by their top names."""
    own = _own_modules(source)
    found: set[str] = set()
    for file in source.files:
        if file.endswith(".py"):
            found.update(module for module, _, _ in _imported((source.root / file).read_bytes()))
    return tuple(sorted(name for name in found & FIELD_MODULES if name not in own or name in CERTAIN))


def silent_needs(source: Source, pack: PackMetadata) -> tuple[str, ...]:
    """Distributions that a pack imports and does not declare, because its host brings them in the field."""
    top = {file.partition("/")[0].removesuffix(".py") for file in source.files if file.endswith(".py")}
    declared = {canonicalize_name(re.split(r"[ \[;<>=!~@]", line)[0]) for line in pack.requires}
    found: set[str] = set()
    for file in source.files:
        if file.endswith(".py"):
            found.update(module for module, _, _ in _imported((source.root / file).read_bytes()))
    brought = {FIELD_BRINGS[module] for module in found & FIELD_BRINGS.keys() if module not in top}
    return tuple(sorted(brought - declared))


def _flavour(name: str, declared: Collection[str]) -> bool:
    return name.startswith("opencv") and any(other.startswith("opencv") for other in declared)


def _undeclared(source: Source, file: str, line: int, module: str, name: str, guarded: bool) -> Finding:
    if guarded:
        message = f"{module} is used if it is there, and nothing offers it"
        return Finding(
            "undeclared-import", "note", file, line, message, f"offer {name} as an extra, or declare it"
        )
    edit = Edit("requirements.txt", 0, name)
    mend = (
        f"add {name} to requirements.txt"
        if not (source.root / "requirements.txt").exists()
        else f"add {name}"
    )
    return Finding(
        "undeclared-import", "warning", file, line, f"{module} is imported and not declared", mend, edit
    )


def _own_modules(source: Source) -> set[str]:
    """Names that the pack's own files may be imported by, search path tricks included.

    A tree that is a package itself and plays no tricks is imported by its folder's name alone.
    """
    code = (source.root / path for path in source.files if path.endswith(".py"))
    if "__init__.py" in source.files and not any(b"sys.path" in file.read_bytes() for file in code):
        return {source.folder}
    names = {
        part.removesuffix(".py") for path in source.files if path.endswith(".py") for part in path.split("/")
    }
    return names | {source.folder}


def _imported(data: bytes) -> Iterator[tuple[str, int, bool]]:
    """(top module, line, whether a missing one is taken care of) of a file's absolute imports."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError):
        return
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno, guarded) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno, guarded
        inside = guarded or isinstance(node, ast.Try | ast.FunctionDef | ast.AsyncFunctionDef)
        waiting.extend((child, inside) for child in ast.iter_child_nodes(node))
