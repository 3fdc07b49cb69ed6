"""λ, γ1 and γ2: how much of something is added."""

from steerx_cli.core.errors import SteerxError

MOST = 10_000  # beyond it, nothing is left of what it is added to but rounding


def refuse_unweighable(flag: str, strength: float) -> None:
    """Refuse what float32 cannot weigh, and what is no number."""
    if not abs(strength) <= MOST:
        raise SteerxError(f"{flag} {strength:g} cannot be weighed in float32: choose one from {-MOST} to {MOST}")
