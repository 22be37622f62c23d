"""What README and docs show runs as it stands: every page's Python blocks, in order and in one namespace."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- not run:(?P<reason>.*?)-->\n)?```python\n(?P<code>.*?)^```", flags=re.DOTALL | re.MULTILINE)

# A process of its own, since the pages register generators, rules and measures; one for all, since importing takes seconds.
RUN = """
import sys
for path in sys.argv[1:]:
    print("page", path)
    names = {"__name__": "page"}
    with open(path, encoding="utf-8") as file:
        exec(compile(file.read(), path, "exec"), names)
"""


def blocks_of(page: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def test_blocks_that_are_not_run_state_a_reason() -> None:
    for page in PAGES:
        for block in blocks_of(page):
            reason = block["reason"]
            assert reason is None or len(reason.split()) > 3, f"{page.name}: {block['code']}"


@pytest.mark.programs
def test_python_blocks_run_in_order(tmp_path: Path) -> None:
    programs: dict[str, Path] = {}
    for page in PAGES:
        code = page.read_text(encoding="utf-8")
        shown = [block for block in blocks_of(page) if block["reason"] is None]
        if shown:
            lines = [""] * code.count("\n")
            for block in shown:  # each at its own line, so that a traceback names the line of the page
                first = code[: block.start("code")].count("\n")
                lines[first : first + block["code"].count("\n")] = block["code"].splitlines()
            programs[page.name] = tmp_path / f"{page.stem}.py"
            programs[page.name].write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert {"README.md", "index.md", "extending.md", "training.md"} <= programs.keys()
    command = [sys.executable, "-W", "error", "-c", RUN, *map(str, programs.values())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout[-1000:]}\n{done.stderr[-4000:]}"
    readme = done.stdout.split("page ")[1].splitlines()[1:]
    assert float(readme[0]) > 0.9  # accuracy on held-out digits
    assert any("robins alexander clustering" in line for line in readme)
