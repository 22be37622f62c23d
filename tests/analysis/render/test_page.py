"""The page: it shows the data, it needs nothing from outside, and text cannot break out."""

import html
import re
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from bipartite_examples import random_graph, weighted
from matplotlib.figure import Figure

from analysis import AnalysisError, TopologyReport, describe
from analysis.render.cells import report_notes
from analysis.render.page import Definitions, Heading, Notice, Paragraph, Picture, Section, Table, page
from analysis.render.pictures.curves import learning_curves
from analysis.render.report_page import report_blocks
from analysis.report.values import P_VALUE, Q_VALUE
from analysis.report.verdicts import RULES


class Tags(HTMLParser):
    """Collects tags with their attributes and checks that they nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def parsed(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert not tags.open
    return tags


def test_page_is_self_contained_and_well_formed() -> None:
    report = describe(random_graph(20, 10, 60, seed=1), nulls=2, rng=0)
    figure = learning_curves({"a": np.ones((2, 3))})
    blocks = [Heading("Set-up"), Paragraph("Text."), Picture(figure, "Accuracy over epochs", "two flat lines")]
    text = page("Demo", [Section("Training", blocks), Section("Topology", report_blocks(report))])
    tags = parsed(text)
    images = [attributes for tag, attributes in tags.seen if tag == "img"]
    assert len(images) == 1
    assert images[0]["alt"] == "two flat lines"
    assert str(images[0]["src"]).startswith("data:image/png;base64,iVBOR")
    assert not re.search(r"(?:https?:)?//[a-z]", re.sub(r'src="data:[^"]*"', "", text))
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.seen}
    anchors = {attributes["href"] for tag, attributes in tags.seen if tag == "a"}
    assert anchors == {"#section-1", "#section-2"}
    for quantity in report["layer 0"].quantities:
        assert re.search(f"<td class=.text( long)?.>{quantity.name.replace('_', ' ')}</td>", text)


def test_markup_in_text_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    table = Table([evil], [[evil]], evil)
    picture = Picture(Figure(figsize=(1, 1)), evil)
    more = [Notice(evil), Definitions(evil, [(evil, evil)])]
    text = page(evil, [Section(evil, [Heading(evil), Paragraph(evil), *more, table, picture])])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 14
    parsed(text)


def test_columns_of_text_and_long_cells_may_break_and_numbers_may_not() -> None:
    reason = "not defined: all positive degrees are 3"
    table = Table(["a", "b", "c"], [["name", "words", "0.1234 ± 0.01"], ["x", "y", reason]], texts=(0, 1))
    text = page("t", [Section("s", [table])])
    assert '<th scope="col" class="text">b</th><th scope="col">c</th>' in text
    assert '<td class="text">words</td><td>0.1234 ± 0.01</td>' in text
    assert f'<td class="long">{reason}</td>' in text
    assert Table(["a"], [["x"]]).style(0, "x") == "text"
    assert Table(["a"], [["x"]]).style(1, "9" * 20 + "\n" + "9" * 20) == ""


@cache
def report() -> TopologyReport:
    graph, control = random_graph(20, 10, 60, seed=1), random_graph(20, 10, 60, seed=2)
    return describe(graph, nulls=5, control=control, rng=0, swaps_per_edge=7)


def tables(report: TopologyReport) -> list[Table]:
    return [block for block in report_blocks(report) if isinstance(block, Table)]


def test_verdicts_have_a_table_of_text_and_their_rules_stand_on_the_page_once() -> None:
    blocks = report_blocks(report())
    table = next(block for block in blocks if isinstance(block, Table))
    assert table.header == ("property", "verdict", "numbers")
    assert set(table.texts) == {0, 1, 2}
    section = report()["layer 0"]
    for row, verdict in zip(table.rows, section.verdicts.values(), strict=True):
        assert row[:2] == [verdict.property, verdict.conclusion]
        assert verdict.rule not in row
        if verdict.reason is not None:
            assert row[2] == verdict.reason
    text = html.unescape(page("t", [Section("s", blocks)]))
    assert all(text.count(rule) == 1 for rule in RULES.values())
    assert text.count("<details><summary>The rules of the verdicts") == 1


def test_the_page_says_what_its_columns_mean() -> None:
    text = html.unescape(page("t", [Section("s", report_blocks(report()))]))
    assert P_VALUE in text
    assert Q_VALUE in text
    assert "number of replicates: 5 of every null model" in text
    assert "after 7 attempted switches per edge" in text
    assert "<dt>control</dt>" in text
    assert "weights permuted" not in text
    weighted_graph = weighted(random_graph(20, 10, 60, seed=1), 0)
    assert "weights permuted" in page("t", [Section("s", report_blocks(describe(weighted_graph, nulls=1, rng=0)))])


def test_cells_of_numbers_are_kept_narrow() -> None:
    cells = [cell for table in tables(report())[1:] for row in table.rows for cell in row[1:]]
    assert "fixed" in cells
    assert not any("fixed by the null" in cell or " B=" in cell or " (s.e." in cell for cell in cells)
    assert any("\n(s.e. " in cell for cell in cells)


def test_a_page_without_replicates_says_so() -> None:
    blocks = report_blocks(describe(random_graph(20, 10, 60, seed=1), nulls=0, rng=0))
    assert any("No replicates" in block.text for block in blocks if isinstance(block, Paragraph))
    assert not any(isinstance(block, Notice) for block in blocks)
    (reading, _) = [block for block in blocks if isinstance(block, Definitions)]
    assert [term for term, _ in reading.entries] == ["value"]


def test_the_page_of_an_interrupted_report_begins_with_a_notice() -> None:
    def ring(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    partial = describe(random_graph(20, 10, 60, seed=1), nulls=50, rng=0, progress=ring)
    blocks = report_blocks(partial)
    assert isinstance(blocks[0], Notice)
    assert "This report is partial" in blocks[0].text
    assert all(note in blocks[0].text for note in report_notes(partial))
    assert f"{partial.replicates} of 50 replicates" in blocks[0].text
    assert '<p class="notice" role="note">This report is partial' in page("t", [Section("s", blocks)])
    assert not any(isinstance(block, Notice) for block in report_blocks(report()))


def test_table_rows_match_the_header() -> None:
    with pytest.raises(AnalysisError, match=r"rows\[1\] has 1 cells; the header has 2"):
        Table(["a", "b"], [["1", "2"], ["3"]])


def test_same_figure_gives_the_same_bytes() -> None:
    first, second = (Picture(learning_curves({"a": np.ones((2, 3))}), "c").source for _ in range(2))
    assert first == second
