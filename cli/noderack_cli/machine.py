"""What the machine has, as far as a host depends on it: its NVIDIA driver, and what CUDA builds need."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/version")
CARD = Path("/dev/nvidiactl")
# The oldest Linux driver for any build of a CUDA major version (its minor versions are compatible).
OLDEST: dict[int, tuple[int, int]] = {11: (450, 80), 12: (525, 60), 13: (580, 65)}


@dataclass(frozen=True, slots=True)
class Machine:
    """`card` says whether there is an NVIDIA card, `driver` which driver serves it ("535.104.05")."""

    card: bool = False
    driver: str | None = None

    @classmethod
    def here(cls) -> Machine:
        """This machine (Linux; elsewhere nothing is known and nothing is said)."""
        try:
            found = re.search(r"Kernel Module.*?(\d+\.\d+(?:\.\d+)?)\s", DRIVER.read_text("utf-8", "replace"))
        except OSError:
            found = None
        return cls(CARD.exists(), found[1] if found else None)

    def too_old_for(self, cuda: int) -> str | None:
        """The oldest driver for that CUDA major version, if the driver here is older still."""
        oldest = OLDEST.get(cuda)
        if oldest is None or self.driver is None:
            return None
        have = tuple(int(part) for part in self.driver.split(".")[:2])
        return None if have >= oldest else ".".join(map(str, oldest))
