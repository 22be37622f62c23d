"""Programs whose disk is full, whose system refuses, or that meet a second process say so in one sentence, and resume."""

import subprocess
import sys
from pathlib import Path

import hindrances
import pytest
from hindrances import End, faults


def test_what_counts_as_a_fault() -> None:
    full = "netsci-nn: path 'here/metrics.jsonl' cannot be written: No space left on device\n"
    assert faults(End(0, "all is well\n")) == faults(End(2, full)) == []
    assert len(faults(End(2, ""))) == len(faults(End(2, full + full))) == len(faults(End(1, full))) == 1
    assert len(faults(End(1, "Traceback\n"))) == 2
    assert len(faults(End(2, full), "in use by another process")) == 1


@pytest.mark.programs
def test_hindered_trainings_resume_to_the_same_bits() -> None:
    """One try of each kind; the script makes as many as one likes."""
    tries = "[h.one_try(random.Random(3), [kind], ['train'])[1] for kind in h.KINDS]"
    path = [str(Path(__file__).parents[2]), str(Path(hindrances.__file__).parent)]
    program = f"import random, sys; sys.path[:0] = {path}; import hindrances as h; h.import_all(False); print(sum({tries}, []))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
