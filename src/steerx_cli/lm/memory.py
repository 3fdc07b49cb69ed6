"""What it looks like when memory runs out."""

# A CPU's on Linux and on Windows, a GPU driver's, and that of a library on it.
_SAID = ("can't allocate memory", "not enough memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


def ran_out(error: BaseException | None) -> bool:
    """Whether that is what went wrong: there is an error of its own for it, and sentences; it may lie beneath."""
    import torch  # here, since those who ask have it loaded and those who only name models have not

    if error is None:
        return False
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or any(said in str(error) for said in _SAID):
        return True
    return ran_out(None if error.__suppress_context__ else error.__context__)
