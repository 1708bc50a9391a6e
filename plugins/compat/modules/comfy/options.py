"""`comfy.options`."""

args_parsing = False


def enable_args_parsing(enable: bool = True) -> None:
    """The host reads its own command line: nothing to do."""
