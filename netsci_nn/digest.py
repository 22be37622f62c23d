"""A digest inside a file: the SHA-256 of its content, by which a changed bit is noticed when the file is read.

Safetensors files keep it in their metadata; it covers names, types, shapes and numbers of the tensors and all other metadata.
Zip archives (npz) keep it in their comment; it covers all bytes before its own digits. Files without one, of other programs or
of earlier versions, are read unchecked. The digest has two marks, `KEY` and `KIND`: one changed bit cannot make both unknown.
"""

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

LENGTH = 64  # hexadecimal digits
KEY, KIND = "netsci_nn_digest", "sha256:"
BLANK = KIND + "0" * LENGTH
METADATA = {KEY: BLANK}  # for safetensors files that are to be sealed
LONGEST_HEADER = 100_000_000  # bytes, the limit of safetensors
DAMAGED = "its content has changed since it was written: it has another digest"


def seal_safetensors(path: Path) -> None:
    """Put the digest into a safetensors file that was written with `METADATA`."""
    with path.open("rb+") as file:
        raw = _raw_header(file)
        digest = _digest_of_tensors(file, json.loads(raw), 8 + len(raw))
        file.seek(8 + raw.index(BLANK.encode()))
        file.write((KIND + digest).encode())


def check_safetensors(path: Path) -> None:
    """Raise a ValueError if the file has a digest that is not that of its content."""
    with path.open("rb") as file:
        raw = _raw_header(file)
        if KEY.encode() not in raw and KIND.encode() not in raw:
            return
        try:
            header = json.loads(raw)
            kept = header["__metadata__"][KEY]
            digest = _digest_of_tensors(file, header, 8 + len(raw))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(DAMAGED) from error
    if kept != KIND + digest:
        raise ValueError(DAMAGED)


def seal_zip(path: Path) -> None:
    """Put the digest into a zip archive, as its comment."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = f"{KEY} {BLANK}".encode()
    content = path.read_bytes()[:-LENGTH]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def check_zip(path: Path) -> None:
    """Raise a ValueError if the archive has a digest that is not that of its bytes."""
    content = path.read_bytes()
    comment = content[-len(f"{KEY} {BLANK}") :]
    is_sealed = KEY.encode() in comment or KIND.encode() in comment
    if is_sealed and hashlib.sha256(content[:-LENGTH]).hexdigest().encode() != content[-LENGTH:]:
        raise ValueError(DAMAGED)


def _raw_header(file: BinaryIO) -> bytes:
    return file.read(min(int.from_bytes(file.read(8), "little"), LONGEST_HEADER))


def _digest_of_tensors(file: BinaryIO, header: dict[str, Any], start: int) -> str:
    """Return the digest of the metadata but for itself, and of the tensors in the order of their names."""
    metadata = {name: text for name, text in header.pop("__metadata__").items() if name != KEY}
    known = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, entry in sorted(header.items()):
        first, last = entry["data_offsets"]
        known.update(json.dumps([name, entry["dtype"], entry["shape"], last - first]).encode())
        file.seek(start + first)
        for position in range(first, last, 1 << 20):
            known.update(file.read(min(1 << 20, last - position)))
    return known.hexdigest()
