"""Damage to the content of a file: anywhere in its bytes, or within what a container or a JSON text holds.

A change anywhere in an archive or a file with a digest is mostly noticed by a checksum, before anything is read. So parts of
containers are changed too, and put together again without a digest and with the right lengths and checksums.
"""

import contextlib
import gzip
import io
import json
import random
import warnings
import zipfile
import zlib
from typing import Any

NUMBERS = (
    *(b"0", b"-1", b"1e999", b"nan", b"2147483648", b"9" * 30, b"9" * 5000, b"200000000", b"30000000", b"0.5"),
    *(b"null", b'""', b"[]", b"{}", b"true"),
)
DEEP: list[Any] = []
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 0.5, 1e308, float("nan"), float("inf"), 2**31, 2**63, 10**25, 10**400, 200_000_000, 30_000_000),
    *("", "a", "0", "nan", "\ud800", "\0", "x" * 5000, "../a", [], {}, [[]], [0], [-1, 1], {"a": 1}, DEEP),
)
for _ in range(900):  # deeper than json reads, not deeper than it writes
    DEEP[:] = [[*DEEP]]
DIGEST = "netsci_nn_digest"


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return the content with up to three changes, of its bytes or of what is in it."""
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        deeper = _within(content, draw) if draw.random() < 0.6 else None
        content = _changed(content, draw) if deeper is None else deeper
    return content


def _changed(content: bytes, draw: random.Random) -> bytes:
    """Return the content with another bit, byte, length, a part that is missing or repeated, or an absurd number."""
    data = bytearray(content)
    if not data:
        return content
    at, kind = draw.randrange(len(data)), draw.randrange(10)
    end = min(len(data), at + draw.choice((1, 2, 4, 8, 40, 200)))
    if kind < 3:
        data[at] ^= 1 << draw.randrange(8)
    elif kind == 3:
        data[at] = draw.choice((0, 0xFF, 0x80, 0x7F, 0x22, 0x5B, 0x7B, 0x0A, 0x2C))
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        del data[at:end]
    elif kind == 6:
        data[at:at] = data[at:end] * draw.choice((1, 2, 3000) if len(data) < 100_000 else (1, 2))
    elif kind == 7:
        data[at:end] = draw.choice((b"\xff", b"\x00", b"\x7f")) * (end - at)
    elif kind == 8:
        data[at : at + 1] = draw.choice(NUMBERS)
    else:
        data[at:at] = draw.choice((b"[", b'{"a":', b"(", b"\n", b"\xef\xbb\xbf", b'"')) * draw.choice((1, 3, 20_000))
    return bytes(data)


def _within(content: bytes, draw: random.Random) -> bytes | None:
    """Return the content with a change in a part of it; None if it has no parts that are known."""
    for change in (_in_zip, _in_gzip, _in_safetensors, _in_json, _in_a_line):
        with contextlib.suppress(
            ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, OSError, EOFError, zlib.error
        ):
            return change(content, draw)
    return None


def _in_zip(content: bytes, draw: random.Random) -> bytes:
    if not content.startswith(b"PK"):
        raise ValueError
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise ValueError from error
    place = draw.randrange(len(parts))
    name, part = parts[place]
    kind = draw.randrange(12)
    if kind == 0:
        del parts[place]
    elif kind == 1:
        parts[place] = draw.choice(parts)[0], part
    elif kind == 2:
        parts[place] = name, draw.choice(parts)[1]
    else:
        parts[place] = name, damaged(part, draw)
    packed = io.BytesIO()
    compression = draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w", compression) as archive:
        warnings.simplefilter("ignore")  # of names that occur twice
        for name, part in parts:
            archive.writestr(zipfile.ZipInfo(name), part, compression)
    return packed.getvalue()


def _in_gzip(content: bytes, draw: random.Random) -> bytes:
    return gzip.compress(damaged(gzip.decompress(content), draw), compresslevel=1, mtime=0)


def _in_safetensors(content: bytes, draw: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header, body = content[8 : 8 + length], content[8 + length :]
    if not header.startswith(b"{") or len(header) != length:
        raise ValueError
    table = json.loads(header)
    table.get("__metadata__", {}).pop(DIGEST, None)
    if draw.random() < 0.3:
        header, body = json.dumps(table).encode(), _changed(body, draw)
    elif draw.random() < 0.3:
        header = _changed(json.dumps(table).encode(), draw)
    else:
        header = json.dumps(_other(table, draw)).encode()
    return len(header).to_bytes(8, "little") + header + body


def _in_json(content: bytes, draw: random.Random) -> bytes:
    return json.dumps(_other(json.loads(content), draw), ensure_ascii=False).encode(errors="surrogatepass")


def _in_a_line(content: bytes, draw: random.Random) -> bytes:
    """Change a line of JSON, or drop, repeat or move a line of any text."""
    if b"\0" in content:
        raise ValueError
    lines = content.splitlines(keepends=True)
    at, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    if lines[at].startswith(b"{") and draw.random() < 0.8:
        lines[at] = _in_json(lines[at], draw) + b"\n"
    else:
        lines[other:other] = [lines[at]] * draw.choice((1, 1, 2, 500) if len(content) < 100_000 else (1,))
        if draw.random() < 0.5:
            del lines[at]
    return b"".join(lines)


def _other(tree: Any, draw: random.Random) -> Any:
    """Return a value read from JSON with another value at some place, or a key that is lost, repeated or renamed."""
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
            places.append((value, key))
            visit(value[key])

    visit(tree)
    if not places:
        return draw.choice(VALUES)
    parent, key = draw.choice(places)
    value, kind = parent[key], draw.randrange(10)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[draw.choice([other for holder, other in places if isinstance(holder, dict)])] = parent.pop(key)
    elif kind == 2:
        holder, other = draw.choice(places)
        parent[key] = json.loads(json.dumps(holder[other])) if other in holder or isinstance(holder, list) else None
    elif kind == 3 and isinstance(value, (int, float)):
        parent[key] = value + draw.choice((-1, 1, 7, 1000, 0.5))
    elif isinstance(value, str) and value.startswith("{") and kind < 9:
        parent[key] = json.dumps(_other(json.loads(value), draw))  # JSON within JSON, as in metadata of safetensors
    elif isinstance(value, str) and kind < 6:
        parent[key] = _changed(value.encode(), draw).decode(errors="replace")
    else:
        parent[key] = draw.choice(VALUES)
    return tree
