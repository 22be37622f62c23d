"""The GPT on Tiny Shakespeare: the page shows the table of its runs, and a run is what the page says."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from scripts import gpt
from scripts.initialisation import read_runs

PAGE = Path(__file__).parents[2] / "docs" / "gpt.md"
TEXT = Path(os.environ.get("NETSCI_NN_DATA", "")) / gpt.TEXT
needs_text = pytest.mark.skipif(not TEXT.is_file(), reason=f"needs {gpt.TEXT} in the folder that NETSCI_NN_DATA names")


def test_the_page_shows_the_table_of_the_runs() -> None:
    (shown,) = re.findall(r"<!-- table -->\n(.*?)\n<!-- table -->", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert shown == gpt.table(read_runs(gpt.RESULTS)), "paste what `python -m scripts.gpt` prints"


def test_every_row_is_there_and_took_the_better_rate() -> None:
    runs = read_runs(gpt.RESULTS)
    settings = [(run["row"], run["rate"], run["steps"]) for run in runs if run["row"] != "seconds"]
    expected = [(row, rate, gpt.TRIED_STEPS) for row in gpt.ROWS for rate in gpt.RATES]
    expected += [(row, gpt.best_rate(runs, row), gpt.STEPS) for row in gpt.ROWS]
    assert sorted(settings) == sorted(expected)
    sizes = {run["row"]: run["result"]["parameters"] for run in runs if run["steps"] == gpt.STEPS}
    assert sizes["static"] == sizes["rigl"] < 0.12 * sizes["dense"]
    assert abs(sizes["dense, narrow"] / sizes["static"] - 1) < 0.05
    assert all((run["result"]["rewired"] > 0) == (run["row"] == "rigl") for run in runs if "rewired" in run["result"])


@needs_text
def test_training_and_validation_are_a_split_in_order() -> None:
    train, held_out, vocabulary_size = gpt.text()
    characters = TEXT.read_text(encoding="utf-8")
    vocabulary = sorted(set(characters))
    assert (len(train), len(held_out), vocabulary_size) == (int(0.9 * 1_115_394), 1_115_394 - int(0.9 * 1_115_394), 65)
    assert "".join(vocabulary[number] for number in held_out[:50]) == characters[len(train) : len(train) + 50]


@needs_text
@pytest.mark.filterwarnings("ignore:the whole model has a density")  # of embeddings, in a narrow one
@pytest.mark.parametrize("row", gpt.ROWS)
def test_a_run_learns_and_is_repeated_to_the_bit(row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    small: dict[str, Any] = {"WIDTH": 32, "LAYERS": 1, "CONTEXT": 16, "BATCH": 8, "WARM_UP": 5, "EVERY": 10, "EVALUATED": 30}
    for name, value in small.items():
        monkeypatch.setattr(gpt, name, value)
    train, held_out, n = gpt.text()
    monkeypatch.setattr(gpt, "text", lambda: (train[:20_000], held_out[:2_000], n))
    torch.set_num_threads(1)
    first = gpt.run({"row": row, "rate": 1e-2, "steps": 30})
    assert first == gpt.run({"row": row, "rate": 1e-2, "steps": 30})
    assert first["validation"][-1] < 3.7  # chance is ln 65 = 4.17
    assert (first["rewired"] > 0) == (row == "rigl")


@needs_text
def test_validation_reads_every_character_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a loop over single stretches."""
    train, held_out, n = gpt.text()
    monkeypatch.setattr(gpt, "text", lambda: (train, held_out[:1_000], n))
    trainer = gpt.Trainer("dense", 1e-3, 10)
    losses = []
    with torch.no_grad():
        for start in range(0, 1_000 - gpt.CONTEXT, gpt.CONTEXT):
            logits = trainer.model(held_out[None, start : start + gpt.CONTEXT])[0]
            losses += torch.nn.functional.cross_entropy(
                logits, held_out[start + 1 : start + 1 + gpt.CONTEXT], reduction="none"
            ).tolist()
    assert trainer.validate() == pytest.approx(sum(losses) / len(losses), rel=1e-5)
