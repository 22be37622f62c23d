"""Checks of options that several commands share."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from netsci_nn.errors import ConfigError, DataError, TopologyError

MAX_NULLS = 1_000_000
"""More random graphs than any p-value can use; a number far above it is a slip."""


def check_nulls(nulls: int, least: int) -> None:
    """Raise a ConfigError unless `nulls` is a number of random graphs from `least` to `MAX_NULLS`."""
    if not least <= nulls <= MAX_NULLS:
        raise ConfigError(f"--nulls is {nulls}; it must be an integer from {least} to {MAX_NULLS:,}")


def check_data_dir(folder: Path | None) -> None:
    """Raise a DataError if a folder of data is given that does not exist."""
    if folder is not None and not folder.is_dir():
        raise DataError(f"--data-dir {str(folder)!r} is not a folder; it must be the folder of the dataset's files")


@contextmanager
def naming_options(options: Mapping[str, str]) -> Iterator[None]:
    """Let an error of the block that names an argument name the option that gave it.

    Args:
        options: beginnings of sentences about arguments, and in place of each what is said of the option; for example
            `{"n_edges is": "--edges is"}`.
    """
    try:
        yield
    except (ConfigError, TopologyError) as error:
        message = str(error)
        for said, option in options.items():
            message = option.join(re.split(rf"(?<![\w.-]){re.escape(said)}(?!\w)", message))
        raise type(error)(message) from error


def parse_sizes(texts: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the sizes by the names of their layers of texts such as encoder.qkv=16x48.

    Raises:
        ConfigError: when a text is no such thing, or a name comes twice.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for text in texts:
        match = re.fullmatch(r"(.+)=([1-9]\d{0,8})[xX]([1-9]\d{0,8})", text.strip(), re.ASCII)
        if match is None:
            raise ConfigError(f"--sizes is {text!r}; it must be NAME=INxOUT, for example encoder.qkv=16x48")
        if match[1] in sizes:
            raise ConfigError(f"--sizes names {match[1]!r} twice; every layer has one pair of sizes")
        sizes[match[1]] = int(match[2]), int(match[3])
    return sizes


def parse_image_shape(text: str | None) -> tuple[int, int] | None:
    """Return height and width of a text such as 28x28, or None for None.

    Raises:
        ConfigError: when the text is no such thing.
    """
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,8})[xX]([1-9]\d{0,8})", text.strip(), re.ASCII)
    if match is None:
        raise ConfigError(f"--image-shape is {text!r}; it must be HEIGHTxWIDTH, for example 28x28")
    return int(match[1]), int(match[2])
