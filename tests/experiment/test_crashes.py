"""Runs that are killed before any change to their files end, once they are resumed, as if nothing had happened."""

import os
import subprocess
import sys
from pathlib import Path

import crash_points
import pytest

pytestmark = pytest.mark.programs


@pytest.mark.parametrize(
    ("scenario", "stride", "first"),
    [("train", 25, 3), ("pruning", 400, 80), ("ablate", 400, 3)],
)
def test_a_killed_run_resumes_to_the_same_bits(scenario: str, stride: int, first: int, tmp_path: Path) -> None:
    """A sample of the points; the script itself goes through all of them."""
    program = [sys.executable, crash_points.__file__, scenario, str(tmp_path), str(stride), str(first)]
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(program, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " points: 0 problems" in done.stdout
