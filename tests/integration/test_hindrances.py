"""Programs whose disk is full, whose system refuses, or that meet a second process say so in one sentence, and resume."""

from hindrances import End, faults


def test_what_counts_as_a_fault() -> None:
    full = "netsci-nn: path 'here/metrics.jsonl' cannot be written: No space left on device\n"
    assert faults(End(0, "all is well\n")) == faults(End(2, full)) == []
    assert len(faults(End(2, ""))) == len(faults(End(2, full + full))) == len(faults(End(1, full))) == 1
    assert len(faults(End(1, "Traceback\n"))) == 2
    assert len(faults(End(2, full), "in use by another process")) == 1
