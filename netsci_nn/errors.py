"""The errors that a user can cause: each is a `ValueError` that says what was given and what is allowed."""

import re
from typing import Any

LONGEST = 1200
"""Characters of a message; what a file holds in place of a name or a number may be of any length."""


def shown(value: Any) -> str:
    """Return what a message shows of a value: its `repr`, or the size of an integer that Python does not turn into text."""
    try:
        return repr(value)
    except ValueError:
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else f"a {type(value).__name__}"


class _Sentence(ValueError):
    """An error whose message is one line, the middle of an endless one left out."""

    def __init__(self, message: str) -> None:
        line = re.sub(r"\s*[\r\n]+\s*", " ", message)
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")


class TopologyError(_Sentence):
    """A graph, an edge list or an edge budget that cannot be the topology of a layer."""


class ConfigError(_Sentence):
    """An argument or a line of an experiment file that is not allowed."""


class DataError(_Sentence):
    """A dataset that is missing, damaged or does not fit the model."""


class CheckpointError(_Sentence):
    """A saved file that is damaged or does not belong to the model it is loaded into."""
