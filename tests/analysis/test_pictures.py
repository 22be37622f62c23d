"""Figures and the page: they show the data, they need nothing from outside, and text cannot break out."""

import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from bipartite_examples import random_graph
from matplotlib.figure import Figure
from scipy import stats

from analysis import AnalysisError, describe
from analysis.html import Heading, Paragraph, Picture, Section, Table, page, report_blocks
from analysis.plots import NULL_LABEL, degree_distribution, input_degree_map, learning_curves


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


def lines(figure: Figure, panel: int) -> dict[str, Any]:
    return {str(line.get_label()): line for line in figure.axes[panel].lines}


def test_learning_curves_draw_the_mean_and_survive_gaps() -> None:
    values = np.array([[0.5, 0.7, np.nan], [0.7, 0.9, np.nan]])
    figure = learning_curves({"SET": values, "dense": np.ones((1, 3))})
    drawn = lines(figure, 0)
    assert drawn["SET"].get_ydata()[:2] == pytest.approx([0.6, 0.8])
    assert np.isnan(drawn["SET"].get_ydata()[2])
    assert drawn["SET"].get_linestyle() != drawn["dense"].get_linestyle()
    assert drawn["SET"].get_marker() != drawn["dense"].get_marker()


def test_degree_distribution_shows_observed_and_exact_null() -> None:
    graph = random_graph(60, 40, 480, seed=1)
    for panel, (degrees, law) in enumerate(
        [(graph.out_degrees, stats.hypergeom(2400, 40, 480)), (graph.in_degrees, stats.hypergeom(2400, 60, 480))]
    ):
        drawn = lines(degree_distribution({"ER": graph}, kind="histogram"), panel)
        x, y = drawn["ER"].get_data()
        assert y == pytest.approx([np.mean(degrees == value) for value in x])
        x, y = drawn[NULL_LABEL].get_data()
        assert y == pytest.approx(law.pmf(x))
        x, y = lines(degree_distribution({"ER": graph}), panel)["ER"].get_data()
        assert y == pytest.approx([np.mean(degrees >= value) for value in x])


def test_input_maps_share_one_scale() -> None:
    figure = input_degree_map({"before": np.arange(6), "after": np.arange(6) * 2}, (2, 3))
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    assert [picture.get_clim() for picture in pictures[:2]] == [(0.0, 10.0)] * 2
    assert pictures[0].get_array().tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: learning_curves({}), "curves is empty"),
        (lambda: learning_curves({"a": [1.0]}), r"curves\['a'\] has shape \(1,\)"),
        (lambda: learning_curves({"a": [[np.nan]]}), "numbers of shape"),
        (lambda: degree_distribution({}), "graphs is empty"),
        (lambda: degree_distribution({"a": random_graph(3, 3, 4, 0)}, kind="pie"), "kind is 'pie'"),  # type: ignore[arg-type]
        (lambda: input_degree_map({}, (2, 2)), "degrees is empty"),
        (lambda: input_degree_map({"a": np.ones(5)}, (2, 2)), "needs a vector of 4"),
    ],
)
def test_bad_pictures(draw: Any, message: str) -> None:
    with pytest.raises(AnalysisError, match=message):
        draw()


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
        assert f"<td>{quantity.name.replace('_', ' ')}</td>" in text


def test_markup_in_text_is_escaped() -> None:
    evil = '<script>alert("x")</script>'
    table = Table([evil], [[evil]], evil)
    picture = Picture(Figure(figsize=(1, 1)), evil)
    text = page(evil, [Section(evil, [Heading(evil), Paragraph(evil), table, picture])])
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 10
    parsed(text)


def test_table_rows_match_the_header() -> None:
    with pytest.raises(AnalysisError, match=r"rows\[1\] has 1 cells; the header has 2"):
        Table(["a", "b"], [["1", "2"], ["3"]])


def test_same_figure_gives_the_same_bytes() -> None:
    first, second = (Picture(learning_curves({"a": np.ones((2, 3))}), "c").source for _ in range(2))
    assert first == second
