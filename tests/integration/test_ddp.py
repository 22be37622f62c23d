"""`scripts/ddp.py` by torchrun: two ranks have the same network, and it is that of one process."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.programs

SCRIPT = Path(__file__).parents[2] / "scripts" / "ddp.py"
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def lines(rule: str, launcher: list[str]) -> list[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parents[1])}
    command = [sys.executable, *launcher, str(SCRIPT), "--rule", rule]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return sorted(re.findall(r"rank (\d): (.*?accuracy 0\.\d{3})", done.stdout))


@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_two_ranks_are_one_process(rule: str) -> None:
    alone, both = lines(rule, []), lines(rule, TORCHRUN)
    assert [rank for rank, _ in both] == ["0", "1"]
    assert both[0][1] == both[1][1] == alone[0][1]
    assert float(both[0][1][-5:]) > 0.9
    assert int(re.findall(r"(\d+) rewired", both[0][1])[0]) > 1000
