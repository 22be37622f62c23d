"""Atomic writing: all or nothing."""

from pathlib import Path

import pytest

from netsci_nn.files import atomic_write, write_text


class WriteError(Exception):
    pass


def test_failing_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    write_text(path, "old")

    def fail() -> None:
        with atomic_write(path) as temporary:
            assert temporary.parent == path.parent
            temporary.write_text("half of the n")
            assert path.read_text() == "old"
            raise WriteError

    with pytest.raises(WriteError):
        fail()
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]
