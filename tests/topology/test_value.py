"""`BipartiteTopology`: a validated, immutable value."""

import copy
import dataclasses
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparse_cases import topologies

from netsci_nn import BipartiteTopology, TopologyError

# Edges (source, target): (1, 0), (2, 0), (0, 1), (2, 3); target 2 has none, source 3 has none.
SRC, DST = [1, 2, 0, 2], [0, 0, 1, 3]
EXAMPLE = BipartiteTopology(4, 5, np.array(SRC), np.array(DST))


def test_hand_worked_example() -> None:
    assert EXAMPLE.n_edges == 4
    assert EXAMPLE.density == 4 / 20
    assert EXAMPLE.out_degrees.tolist() == [1, 1, 2, 0]
    assert EXAMPLE.in_degrees.tolist() == [2, 1, 0, 1, 0]
    assert EXAMPLE.target_pointers.tolist() == [0, 2, 3, 3, 4, 4]
    assert EXAMPLE.keys().tolist() == [1, 2, 4, 14]
    assert EXAMPLE.to_edges().tolist() == [[1, 0], [2, 0], [0, 1], [2, 3]]
    assert repr(EXAMPLE) == "BipartiteTopology(n_in=4, n_out=5, n_edges=4, density=0.2)"


def test_dtypes_follow_the_contract() -> None:
    assert EXAMPLE.src.dtype == EXAMPLE.dst.dtype == np.int32
    assert EXAMPLE.target_pointers.dtype == EXAMPLE.keys().dtype == np.int64
    assert EXAMPLE.out_degrees.dtype == EXAMPLE.in_degrees.dtype == np.int64
    assert type(EXAMPLE.n_in) is type(BipartiteTopology(np.int32(4), np.uint8(5), [], []).n_in) is int


def test_no_edges_is_legal() -> None:
    empty = BipartiteTopology(2, 3, [], [])
    assert (empty.n_edges, empty.density) == (0, 0.0)
    assert empty.src.dtype == np.int32
    assert empty.out_degrees.tolist() == [0, 0]
    assert empty.target_pointers.tolist() == [0, 0, 0, 0]
    assert empty == BipartiteTopology.from_edges([], 2, 3)


def test_keys_do_not_overflow_int32() -> None:
    corner = BipartiteTopology(65_536, 65_536, [65_535], [65_535])
    assert corner.keys().tolist() == [2**32 - 1]
    assert BipartiteTopology.from_keys(corner.keys(), 65_536, 65_536) == corner


@pytest.mark.parametrize("array", ["src", "dst", "out_degrees", "in_degrees", "target_pointers"])
def test_arrays_are_read_only(array: str) -> None:
    with pytest.raises(ValueError, match="read-only"):
        getattr(EXAMPLE, array)[0] = 1


@pytest.mark.parametrize("field", ["n_in", "n_out", "src", "dst", "n_edges"])
def test_fields_cannot_be_rebound(field: str) -> None:
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        setattr(EXAMPLE, field, 1)


def test_the_callers_arrays_are_copied() -> None:
    src, dst = np.array(SRC, dtype=np.int32), np.array(DST, dtype=np.int32)
    topology = BipartiteTopology(4, 5, src, dst)
    src[:] = 0
    dst[:] = 0
    assert topology == EXAMPLE
    assert src.flags.writeable


def test_equality_and_hash_go_by_value() -> None:
    same = BipartiteTopology(4, 5, np.array(SRC, dtype=np.int64), np.array(DST, dtype=np.uint8))
    others = [
        BipartiteTopology(5, 5, SRC, DST),
        BipartiteTopology(4, 6, SRC, DST),
        BipartiteTopology(4, 5, SRC[:3], DST[:3]),
        BipartiteTopology(4, 5, [1, 2, 0, 3], DST),
        BipartiteTopology(4, 5, SRC, [0, 0, 1, 4]),
    ]
    assert same == EXAMPLE
    assert hash(same) == hash(EXAMPLE)
    assert same.digest == EXAMPLE.digest
    assert len({EXAMPLE, same, *others}) == 6
    assert all(other != EXAMPLE and other.digest != EXAMPLE.digest for other in others)
    assert EXAMPLE != "topology"


def test_digest_is_the_same_in_another_process() -> None:
    program = "from netsci_nn.topology import BipartiteTopology as T; print(T(4, 5, [1, 2, 0, 2], [0, 0, 1, 3]).digest)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert output.strip() == EXAMPLE.digest


def test_copies_are_the_value_itself_and_pickle_restores_it() -> None:
    assert copy.copy(EXAMPLE) is EXAMPLE
    assert copy.deepcopy([EXAMPLE])[0] is EXAMPLE
    restored = pickle.loads(pickle.dumps(EXAMPLE))
    assert restored == EXAMPLE
    assert not restored.src.flags.writeable


@pytest.mark.parametrize(
    ("n_in", "n_out", "src", "dst", "message"),
    [
        (0, 5, [], [], "n_in is 0; it must be an integer from 1 to 2147483647"),
        (4, -1, [], [], "n_out is -1; it must be an integer from 1"),
        (2**31, 5, [], [], "n_in is 2147483648; it must be"),
        (True, 5, [], [], "n_in is True; it must be an integer"),
        (4.0, 5, [], [], "n_in is 4.0; it must be an integer"),
        (4, "5", [], [], "n_out is '5'; it must be an integer"),
        (4, None, [], [], "n_out is None; it must be an integer"),
        (4, 5, [4], [0], r"src\[0\] is 4; it must be from 0 to n_in - 1 = 3"),
        (4, 5, [0, -1], [0, 1], r"src\[1\] is -1; it must be from 0 to n_in - 1 = 3"),
        (4, 5, [0], [5], r"dst\[0\] is 5; it must be from 0 to n_out - 1 = 4"),
        (4, 5, [0], [2**32], r"dst\[0\] is 4294967296; it must be from 0"),
        (4, 5, [0, 1], [0], "src has 2 entries and dst has 1; they must be equally long"),
        (4, 5, [[0]], [[0]], r"src has shape \(1, 1\); it must have one dimension"),
        (4, 5, [0], 0, r"dst has shape \(\); it must have one dimension"),
        (4, 5, [0.0], [0], "src has dtype float64; it must hold integers"),
        (4, 5, [True], [0], "src has dtype bool; it must hold integers"),
        (4, 5, ["0"], [0], "src has dtype <U1; it must hold integers"),
        (4, 5, [1, 1], [2, 2], r"edge \(1, 2\) occurs twice; every edge must be unique"),
        (4, 5, [0, 1], [1, 0], r"edge 1 = \(1, 0\) is out of order; edges must be sorted by \(dst, src\)"),
        (4, 5, [1, 0], [2, 2], r"edge 1 = \(0, 2\) is out of order"),
    ],
)
def test_every_bad_field_is_named(n_in: object, n_out: object, src: object, dst: object, message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        BipartiteTopology(n_in, n_out, src, dst)


def test_errors_are_value_errors() -> None:
    assert issubclass(TopologyError, ValueError)


@given(topologies(), st.randoms(use_true_random=False))
def test_from_edges_sorts_any_order(topology: BipartiteTopology, random: object) -> None:
    edges = topology.to_edges().tolist()
    random.shuffle(edges)
    assert BipartiteTopology.from_edges(edges, topology.n_in, topology.n_out) == topology
    keys = topology.keys()
    assert (np.diff(keys) > 0).all()
    assert BipartiteTopology.from_keys(keys[::-1].copy(), topology.n_in, topology.n_out) == topology


@given(topologies())
def test_degrees_and_pointers_agree_with_the_mask(topology: BipartiteTopology) -> None:
    mask = topology.to_mask()
    assert topology.in_degrees.tolist() == mask.sum(axis=1).tolist()
    assert topology.out_degrees.tolist() == mask.sum(axis=0).tolist()
    for target in range(topology.n_out):
        sources = topology.src[topology.target_pointers[target] : topology.target_pointers[target + 1]]
        assert sources.tolist() == np.flatnonzero(mask[target]).tolist()
