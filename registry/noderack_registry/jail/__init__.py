"""A place in which a stranger's code may run without reaching anything: on Linux, without privileges.

`run` starts a command behind as many walls as this machine gives, ends it when it takes too much, and says of
each wall whether it stood. Nothing of the registry is in there: no files, no network, no environment.
"""

from noderack_registry.jail.run import Ended, JailError, Limits, run

__all__ = ["Ended", "JailError", "Limits", "run"]
