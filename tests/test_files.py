"""Writing: all or nothing, flushed to the disk, and what a kill leaves is found."""

import errno
import os
import stat
from pathlib import Path

import pytest

from netsci_nn.errors import ConfigError
from netsci_nn.files import append_line, atomic_write, leftovers, make_directory, write_text


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


def test_files_and_their_folders_are_flushed_to_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def flush(handle: int) -> None:
        flushed.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")

    monkeypatch.setattr(os, "fsync", flush)
    write_text(tmp_path / "notes.txt", "new")
    assert flushed == ["file", "folder"]
    append_line(tmp_path / "log", "first")
    append_line(tmp_path / "log", "second")
    assert flushed[2:] == ["file", "folder", "file"]
    assert (tmp_path / "log").read_text() == "first\nsecond\n"
    make_directory(tmp_path / "a" / "b")
    assert flushed[5:] == ["folder", "folder"]
    make_directory(tmp_path / "a" / "b")
    assert len(flushed) == 7


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.ENOTSUP, errno.EBADF])
def test_a_file_system_that_cannot_flush_folders_is_no_error(
    reason: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "notes.txt", "new")
    append_line(tmp_path / "log", "first")
    make_directory(tmp_path / "a")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a", "log", "notes.txt"]


def test_a_disk_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (write_text, append_line):
        with pytest.raises(ConfigError, match=r"path '.*notes\.txt' cannot be written: Input/output error"):
            write(tmp_path / "notes.txt", "new")


def test_what_a_killed_write_leaves_is_told_from_other_files(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "result.json") as temporary:
        (tmp_path / ".result.settings").touch()
        (tmp_path / ".vscode.json").touch()
        assert leftovers(tmp_path, "*.json") == leftovers(tmp_path, "other.toml", "result.json") == [temporary]
        assert leftovers(tmp_path, "*.toml") == leftovers(tmp_path / "nowhere", "*") == []
