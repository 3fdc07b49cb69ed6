"""How tokens are drawn."""

import math
from dataclasses import dataclass

from steerx_cli.core.errors import SteerxError


@dataclass(frozen=True)
class Sampling:
    """From which distribution."""

    temperature: float = 1.0
    top_p: float = 1.0  # of the most probable tokens that have this share together

    def __post_init__(self) -> None:
        """Refuse what draws nothing."""
        if not 0 < self.temperature < math.inf:
            raise SteerxError(f"--temperature {self.temperature:g} draws nothing: choose a finite number above 0")
        if not 0 < self.top_p <= 1:
            raise SteerxError(f"--top-p {self.top_p:g} is no share: choose a number above 0, and 1 at the most")
