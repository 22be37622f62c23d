"""Edge lists: which first line is a header, what a reader is told, and what is refused in one sentence."""

import re
from pathlib import Path

import numpy as np
import pytest

from netsci_nn import BipartiteTopology, CheckpointError
from netsci_nn.intake import Layer
from netsci_nn.intake.edge_list import read_edge_list

EDGES = [(0, 0), (1, 0), (2, 1)]


def layer_of(tmp_path: Path, text: str, name: str = "e.csv") -> Layer:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_edge_list(tmp_path / name)[0]


def note_of(tmp_path: Path, text: str) -> str:
    (tmp_path / "e.csv").write_text(text)
    (note,) = read_edge_list(tmp_path / "e.csv")[1]
    return note


def pairs(layer: Layer) -> list[tuple[int, int]]:
    return list(zip(layer.src.tolist(), layer.dst.tolist(), strict=True))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("e.csv", "0,0\n1,0\n2,1\n"),
        ("e.csv", "source,target\n10,7\n20,7\n30,8\n"),
        ("e.txt", "# a comment\n% another\n1 1\n2 1\n\n11 2\n"),
        ("e.tsv", "a b\tx\nb\tx\nc\ty z\n"),
        ("e.tsv", "Ada, A.\tpaper 1\r\nBob\tpaper 1\r\nCyd\tpaper 2\r\n"),
        ("e.edges", "ada;paper 1\nbob;paper 1\ncyd;paper 2\n"),
        ("e.edgelist", "0 0\n1 0\n2 1"),
        ("e.txt", '"a a"  x\n "b" x\nc   y\n'),
        ("e.csv", '"a,1", x\nb,x\nc,y\n'),
        ("e.csv", "\ufeff0,0\n1,0\n2,1\n"),
        ("e.csv", "\ufeff# n_in=3 n_out=2\n0,0\n1,0\n2,1\n"),
        ("e.txt", "# n_in=3 n_out=2\n0,0\n1,0\n2,1\n"),
    ],
)
def test_separators_labels_and_marks_of_unicode(name: str, text: str, tmp_path: Path) -> None:
    layer = layer_of(tmp_path, text, name)
    assert (layer.n_in, layer.n_out, pairs(layer), layer.weights) == (3, 2, EDGES, None)


@pytest.mark.parametrize(
    "header",
    ["user,item", "node1\tnode2", "from_node,to_node", "FromNodeId,ToNodeId", "Source , Target", "u;v", "anything,at all"],
)
def test_words_above_whole_numbers_are_a_header(header: str, tmp_path: Path) -> None:
    delimiter = next(mark for mark in "\t,;" if mark in header)
    text = "\n".join([header, *(f"{a}{delimiter}{b}" for a, b in EDGES)])
    layer = layer_of(tmp_path, text)
    assert (layer.n_in, layer.n_out, pairs(layer)) == (3, 2, EDGES)
    assert "line 1 (" in note_of(tmp_path, text)


@pytest.mark.parametrize("header", ["i,j,w", "source,target,weight", "a,b,c"])
def test_words_above_weights_are_a_header(header: str, tmp_path: Path) -> None:
    for labels in (("0,0", "1,0", "2,1"), ("ada,x", "bob,x", "cyd,y")):
        layer = layer_of(tmp_path, "\n".join([header, *(f"{pair},{k}" for k, pair in enumerate(labels))]))
        assert pairs(layer) == EDGES
        assert layer.weights is not None
        np.testing.assert_array_equal(layer.weights, [0, 1, 2])


@pytest.mark.parametrize(
    ("text", "edges"),
    [
        ("in-1,out-2\nin-2,out-2\n", 2),
        ("u 1\tv\nu 2\tv\n", 2),
        ("source,target\nsource,sink\n", 2),  # its first label occurs again
        ("ada,bob,0.5\n1,2,0.7\n", 2),  # a weight stands in the first line
        ("1,b\n2,3\n", 2),
        ("ada,bob\ncyd,dan\n", 2),
        ("ada,bob\n", 1),
        ("user,item\nada,lamp\nbob,lamp\n", 2),
        ("person,fruit\n1,apple\n2,pear\n", 2),
    ],
)
def test_only_a_header_is_left_out(text: str, edges: int, tmp_path: Path) -> None:
    assert len(layer_of(tmp_path, text).src) == edges
    is_header = text.startswith(("user", "person"))
    assert ("was skipped as a header" in note_of(tmp_path, text)) == is_header
    assert ("no line was taken as a header" in note_of(tmp_path, text)) == (not is_header)


@pytest.mark.parametrize("header", ["target,source", "dst,src", "to_node,from_node", "Output,Input"])
def test_a_header_that_names_targets_first_swaps_the_columns(header: str, tmp_path: Path) -> None:
    text = f"{header}\n0,0\n0,1\n1,2\n"
    layer = layer_of(tmp_path, text)
    assert (layer.n_in, layer.n_out, sorted(pairs(layer))) == (3, 2, EDGES)
    assert "puts the targets first, so these columns were swapped" in note_of(tmp_path, text)
    assert "a target in the first column, a source in the second" in note_of(tmp_path, text)


def test_the_note_tells_all_that_was_decided(tmp_path: Path) -> None:
    note = note_of(tmp_path, "source,target,weight\n1,1,0\n2,1,-2\n10,2,1.5\n")
    assert note.startswith("edge list: 3 edges between 3 sources and 2 targets, a source in the first column, ")
    assert "a weight in the third (a weight of 0 is an edge too); line 1 (source, target, weight) was skipped" in note
    assert "in the order of their numbers" in note
    assert "in the order of the alphabet" in note_of(tmp_path, "b,x\na,x\n")
    assert "1 edge between 1 source and 1 target" in note_of(tmp_path, "0,0\n")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("e.txt", "these are words\n", "its third column must hold numbers, the weights; line 1 has 'words' there"),
        ("e.csv", "0,1,2\n\n0,2,hi\n", "line 3 has 'hi' there"),
        ("e.txt", "# a comment\n0 1\n0\n", "line 3 has 1 column where line 2 has 2"),
        ("e.txt", "0 1 2 3\n", "line 1 has 4 columns; two or three columns are needed"),
        ("e.csv", "0,1\n2,\n", "line 2 has an empty cell"),
        ("e.csv", "", "no line with an edge"),
        ("e.csv", "# only a comment\n", "no line with an edge"),
        ("e.csv", "source,target\n", "no line with an edge below its header"),
        ("e.csv", "5,1\n0,1\n5,1\n", "lines 1 and 3 hold the same edge, 5 - 1, so it occurs more than once"),
        ("e.csv", "0,1,nan\n", "weights must be finite; line 1 has 'nan' there"),
        ("e.csv", "0,1,2\n1,1,1e999\n", "weights must be finite; line 2 has '1e999' there"),
        ("e.csv", "weight,source,target\n1,2,3\n", "the weight must be in the third column"),
        ("e.csv", "# n_in=2 n_out=2\n0,5\n", "it must be from 0 to n_out - 1 = 1"),
        ("e.csv", "# n_in=-3 n_out=2\n0,0\n", "its first line is '# n_in=-3 n_out=2'; it must be"),
        ("e.csv", "# n_in=x\n0,0\n", "its first line is '# n_in=x'; it must be '# n_in=... n_out=...' with two whole numbers"),
        ("e.txt", "# n_in = 3 n_out = 2\n0,0\n", "its first line is '# n_in = 3 n_out = 2'"),
        ("e.csv", "# mine\n# n_in=3 n_out=2\n0,0\n", "line 2 states the sizes; '# n_in=... n_out=...' must be the first line"),
        ("e.csv", "# n_in=3 n_out=2\n1,0\n1\n", "its further lines must be 'source,target' or 'source,target,weight'"),
    ],
)
def test_edge_lists_that_are_none(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CheckpointError, match=re.escape(message)) as caught:
        read_edge_list(tmp_path / name)
    assert f"{name}' does not hold a" in str(caught.value)
    assert not any(word in str(caught.value) for word in ("\n", "usecols", "np.str_", "Warning"))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_bytes("0 1\n".encode("utf-16"))
    with pytest.raises(CheckpointError, match=r"e\.txt' does not hold an edge list: it is not text in UTF-8"):
        read_edge_list(tmp_path / "e.txt")


def test_a_stored_weight_of_0_is_an_edge(tmp_path: Path) -> None:
    text = "0,0,0\n1,0,2\n"
    assert pairs(layer_of(tmp_path, text)) == [(0, 0), (1, 0)]
    assert "a weight of 0 is an edge too" in note_of(tmp_path, text)


def test_our_own_files_say_nothing_of_how_they_were_read(tmp_path: Path) -> None:
    BipartiteTopology.from_edges(EDGES, 4, 2).save(tmp_path / "t.csv")
    layer, notes = read_edge_list(tmp_path / "t.csv")
    assert (layer.n_in, layer.n_out, pairs(layer), notes) == (4, 2, EDGES, [])
