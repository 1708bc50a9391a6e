"""Why a wheel is refused: one code, one meaning and one way out for each kind. The only table of its sort."""

from __future__ import annotations

from noderack_registry.errors import RegistryError

REBUILD = "build the wheel again with `nodes pack build`"

FINDINGS: dict[str, str] = {
    "file-name": "name it <name>-<version>-<python>-<abi>-<platform>.whl, as the wheel format says",
    "not-a-zip": "a wheel is a ZIP file; " + REBUILD,
    "zip-truncated": "the upload broke off, or the file did before; send it again",
    "zip-trailing": "nothing may follow the end of the archive; " + REBUILD,
    "zip-joined": "nothing may stand before the first entry or between entries; " + REBUILD,
    "zip-comment": "archive comments can hide a second archive; " + REBUILD,
    "zip64": "wheels of this size need no ZIP64 records; " + REBUILD,
    "zip-directory": "the table of contents does not add up; " + REBUILD,
    "zip-duplicate": "each entry may stand in the archive once; " + REBUILD,
    "zip-header-mismatch": "an entry's own header and the table of contents disagree; " + REBUILD,
    "zip-data-descriptor": "write sizes into the entry headers (zip to a seekable file); " + REBUILD,
    "zip-extra-name": "entries may not carry a second name; " + REBUILD,
    "zip-encrypted": "entries may not be encrypted; " + REBUILD,
    "zip-compression": "only stored and deflated entries are read by every installer; " + REBUILD,
    "zip-corrupt": "an entry cannot be unpacked to what its header says; " + REBUILD,
    "too-large": "leave data and models out of the wheel; models have manifests of their own",
    "too-many-entries": "leave caches and data out of the wheel",
    "too-much-code": "put tables and other data into data files: no pack has so much code",
    "bomb": "the archive unpacks to far more than it holds; leave such data out",
    "path-absolute": "entries must be relative paths; " + REBUILD,
    "path-escape": "entries may not contain '..' or '.' or empty parts; " + REBUILD,
    "path-characters": "use printable UTF-8 without backslashes, colons and control characters in names",
    "path-not-utf8": "mark entry names as UTF-8 or keep them ASCII; " + REBUILD,
    "path-reserved": "rename it: this name cannot exist on Windows",
    "path-too-long": "shorten the path to at most 200 bytes",
    "path-collision": "rename one of the two: some file systems cannot keep them apart",
    "path-under-file": "one entry is both a file and a folder; " + REBUILD,
    "special-file": "links, devices and the like cannot be in a wheel; put a copy of the file there",
    "dist-info-missing": "a wheel has exactly one <name>-<version>.dist-info folder; " + REBUILD,
    "wheel-file-missing": "dist-info/WHEEL is needed; " + REBUILD,
    "wheel-file": "dist-info/WHEEL must say Wheel-Version 1.x and the tags of the file name; " + REBUILD,
    "metadata-missing": "dist-info/METADATA is needed; " + REBUILD,
    "metadata-too-large": "keep METADATA, README included, below 1 MiB",
    "metadata-invalid": "correct the field in pyproject.toml and build again",
    "metadata-name": "file name and METADATA must name the same pack; " + REBUILD,
    "metadata-version": "file name and METADATA must give the same version; " + REBUILD,
    "local-version": "drop the '+…' part of the version: it means 'not published'",
    "direct-url": "depend on a published name and version instead of an address",
    "record-missing": "dist-info/RECORD is needed; " + REBUILD,
    "record-malformed": "RECORD is lines of path,sha256=…,size; " + REBUILD,
    "record-absent-file": "RECORD lists a file that is not in the archive; " + REBUILD,
    "record-unlisted-file": "a file is not in RECORD; " + REBUILD,
    "record-hash": "a file is not what RECORD says; " + REBUILD,
    "record-size": "a file is not as long as RECORD says; " + REBUILD,
    "startup-hook": "a pack may not run code at every start of Python; take .pth and *customize files out",
    "top-level": "put everything into one package of the pack's own",
    "foreign-module": "rename the package: this name belongs to Python or to the host",
    "data-directory": "files go into the package; a wheel's .data folder would write outside of it",
    "entry-points": "use only the groups noderack.packs and comfyui.custom_nodes, with importable names",
    "not-a-pack": "add an entry point in group noderack.packs, or `library = true` under [tool.noderack]",
    "noderack-json": "dist-info/noderack.json does not fit its form; " + REBUILD,
}


class BadWheel(RegistryError):
    """The wheel is refused. `code` is a key of FINDINGS, `where` the entry it is about ('' for the whole)."""

    def __init__(self, code: str, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, FINDINGS[code], code)
        self.where = where
