"""The six examples of docs/pytorch.md, each as a program of its own with the real libraries."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.ecosystem

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^### (?P<title>[^\n]*)\n.*?```python\n(?P<code>.*?)^```", flags=re.DOTALL | re.MULTILINE)
EXAMPLES = {match["title"]: match["code"] for match in EXAMPLE.finditer((ROOT / "docs" / "pytorch.md").read_text("utf-8"))}
PYTHON, TORCHRUN = [sys.executable], [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def output_of(title: str, folder: Path, command: list[str] = PYTHON) -> str:
    program = folder / "example.py"
    program.write_text(EXAMPLES[title], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run([*command, str(program)], cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def number_after(words: str, output: str) -> float:
    found = re.search(rf"{re.escape(words)}\s*[│|]?\s*([\d.]+)", output)
    assert found, output
    return float(found[1])


def test_there_are_six() -> None:
    assert len(EXAMPLES) == 6


def test_own_loop(tmp_path: Path) -> None:
    output = output_of("Your own loop", tmp_path)
    assert number_after("accuracy", output) > 0.85
    assert "5043 edges" in output


def test_lightning(tmp_path: Path) -> None:
    assert number_after("accuracy", output_of("Lightning", tmp_path)) > 0.85


def test_hugging_face_trainer(tmp_path: Path) -> None:
    *_, loss, is_equal = output_of("Hugging Face Trainer", tmp_path).split("\n")[:-1]
    assert float(loss) < 2  # log(32) = 3.5 for a model that knows nothing
    assert is_equal == "True"


def test_two_processes(tmp_path: Path) -> None:
    output = output_of("Several processes: DDP by torchrun", tmp_path, TORCHRUN)
    assert "ranks are equal: True" in output
    assert number_after("accuracy", output) > 0.85


def test_torch_compile(tmp_path: Path) -> None:
    output = output_of("torch.compile", tmp_path)
    assert "graphs compiled: 1;" in output
    assert number_after("loss", output) < 1


def test_export(tmp_path: Path) -> None:
    output = output_of("Export", tmp_path)
    assert output.count("True") == 4
    assert "False" not in output
    assert "50,432 dense weights (201,728 bytes), not as 5,043 edges with their indices (60,516 bytes)" in output
