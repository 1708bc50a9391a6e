"""The one table of exit codes. `site/docs/errors.md` shows the same table, and a test compares the two."""

from enum import IntEnum


class Exit(IntEnum):
    """What a script can branch on; a code keeps its meaning for ever."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    BAD_INPUT = 3
    NOT_FOUND = 4
    UNRESOLVABLE = 5
    INSTALL_FAILED = 6
    RUN_FAILED = 7
    PROMPT_INVALID = 8
    REGISTRY = 9
    HELD = 10
    NO_SPACE = 11
    INTERRUPTED = 130


MEANING: dict[Exit, str] = {
    Exit.OK: "it worked",
    Exit.UNEXPECTED: "a fault of Noderack itself; `--debug` shows where",
    Exit.USAGE: "the command line was not understood",
    Exit.BAD_INPUT: "an input file or value is not what it should be",
    Exit.NOT_FOUND: "a pack, model, node type, host or file does not exist",
    Exit.UNRESOLVABLE: "the plan cannot be made: a conflict, or a choice only you can make",
    Exit.INSTALL_FAILED: "an install or a download failed; the host is as it was",
    Exit.RUN_FAILED: "the workflow failed while it ran",
    Exit.PROMPT_INVALID: "the workflow cannot be run as it is: wrong inputs or links",
    Exit.REGISTRY: "the registry cannot be reached, or refused",
    Exit.HELD: "another process holds the host",
    Exit.NO_SPACE: "no space left, or a folder or disk that cannot be written",
    Exit.INTERRUPTED: "stopped by you (Ctrl-C)",
}
