"""Shared fixtures: every backend by name, and the examples of `tests/support`."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from netsci_nn.kernels import BACKENDS

sys.path.insert(0, str(Path(__file__).parent / "support"))

# No test is judged by the clock: a first compilation takes seconds.
settings.register_profile("netsci_nn", deadline=None)
settings.load_profile("netsci_nn")

REQUIRE_TORCH_SPARSE = "NETSCI_NN_REQUIRE_TORCH_SPARSE"


def _parameter(name: str) -> object:
    return pytest.param(name, marks=[pytest.mark.torch_sparse] if name == "torch-sparse" else [])


@pytest.fixture(params=[_parameter(name) for name in BACKENDS])
def backend(request: pytest.FixtureRequest) -> str:
    """The name of every registered backend; one that cannot run here is skipped with its own reason."""
    name: str = request.param
    reason = BACKENDS[name].unavailable_because()
    if reason is not None:
        if name == "torch-sparse" and os.environ.get(REQUIRE_TORCH_SPARSE):
            pytest.fail(f"{REQUIRE_TORCH_SPARSE} is set, but: {reason}")
        pytest.skip(f"backend {name!r}: {reason}")
    return name


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Python's own answer to Ctrl-C, a KeyboardInterrupt: a shell that starts a program in the background has it ignored."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)
