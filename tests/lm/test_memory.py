"""Errors that say that memory ran out, and those that do not."""

import pytest
import torch

from steerx_cli.lm.memory import ran_out


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_ran_out(error: Exception) -> None:
    assert ran_out(error)


@pytest.mark.parametrize("error", [None, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError()])
def test_memory_did_not_run_out(error: Exception | None) -> None:
    assert not ran_out(error)


def test_what_an_error_hides_counts_unless_it_says_otherwise() -> None:
    short = torch.OutOfMemoryError()
    shown = RuntimeError("capture ended")
    shown.__context__ = short
    assert ran_out(shown)
    shown.__suppress_context__ = True
    assert not ran_out(shown)


def test_this_machine_says_so_in_words_that_are_known() -> None:
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**62, dtype=torch.uint8)
    assert ran_out(error.value)
