"""What it looks like when memory runs out."""

import torch

_ON_CPU = "can't allocate memory"


def ran_out(error: BaseException | None) -> bool:
    """Whether that is what went wrong: GPUs have an error of their own for it, CPUs a sentence; it may lie beneath."""
    if error is None:
        return False
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or _ON_CPU in str(error):
        return True
    return ran_out(error.__context__)
