"""Files that are not whole."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

from netsci_nn.digest import check_safetensors, check_zip


def _ends_with(end: bytes, path: Path) -> None:
    if not path.read_bytes().rstrip().endswith(end):
        raise ValueError("its end is missing")


WHOLE: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
    ".html": lambda path: _ends_with(b"</html>", path),
    ".png": lambda path: _ends_with(b"IEND\xaeB`\x82", path),
    ".safetensors": check_safetensors,
    ".npz": check_zip,
}


def half_written(files: Iterable[Path]) -> list[str]:
    """Say of each file that is not whole what is wrong with it; temporary files do not count."""
    found = []
    for path in sorted(path for path in files if path.is_file() and not path.name.startswith(".")):
        try:
            WHOLE.get(path.suffix, lambda _: None)(path)
        except Exception as error:
            found.append(f"{path.name} is not whole: {error}")
    return found
