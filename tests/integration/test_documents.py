"""README and docs: short where they must be, links that lead somewhere, commands and files that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netsci_nn.cli import NAMES

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = set(NAMES)


def prose_of(page: Path) -> str:
    """The text of a page without its code blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_of(page: Path) -> Iterator[tuple[Path, str]]:
    """The files that a page links to, and the heading within each, or ""."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if "://" not in link:
            path, _, anchor = link.partition("#")
            yield (page.parent / path).resolve() if path else page, anchor


def test_readme_is_read_in_three_minutes() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target, anchor in links_of(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors_of(target), f"{target.name}#{anchor}"


def test_every_page_is_in_the_index() -> None:
    linked = {target.name for target, _ in links_of(ROOT / "docs" / "index.md")}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - linked == {"index.md"}


def test_commands_of_the_readme_are_those_of_the_program() -> None:
    assert set(re.findall(r"^\| `netsci-nn (\w+)", README.read_text(encoding="utf-8"), flags=re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_make_targets_that_are_shown_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = set(re.findall(r"(?:^|`)netsci-nn ([a-z]\w*)", text, flags=re.MULTILINE))
    assert shown <= COMMANDS, shown - COMMANDS
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    asked = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert asked <= targets, asked - targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_code_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:netsci_nn|analysis|scripts|tests)/[\w./-]*\w", text))
    missing = sorted(path for path in named if not (ROOT / path).exists())
    assert not missing


def test_files_that_the_architecture_walks_through_exist() -> None:
    """Paths under netsci_nn/ are given without it in the way of a weight."""
    text = prose_of(ROOT / "docs" / "architecture.md")
    way = text[text.index("## The way of one weight") : text.index("## Where to find what")]
    named = re.findall(r"`([a-z_]+/(?:[\w/]+\.py)?|files\.py)`", way)
    assert len(named) > 20
    missing = [path for path in named if not ((ROOT / path).exists() or (ROOT / "netsci_nn" / path).exists())]
    assert not missing


def test_every_line_of_what_users_do_names_a_test_that_exists() -> None:
    text = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (?!\*\*|you |---)(.*) \|$", text, flags=re.MULTILINE)
    assert len(lines) > 40
    for line in lines:
        named = re.search(r"\]\(\.\./(tests/[\w/]+\.py)\) `(test_\w+)`$", line)
        assert named, line
        assert re.search(rf"^def {named[2]}\(", (ROOT / named[1]).read_text(encoding="utf-8"), flags=re.MULTILINE), line
