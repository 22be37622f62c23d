"""The one error type of the package."""

import re

LONGEST = 1200
"""Characters of a message; what is shown of an argument may be of any length."""


class AnalysisError(ValueError):
    """A graph or an argument that cannot be analysed; one line names the argument, its value and what is allowed."""

    def __init__(self, message: str) -> None:
        line = re.sub(r"\s*[\r\n]+\s*", " ", message)
        half = LONGEST // 2
        super().__init__(line if len(line) <= LONGEST else f"{line[:half]} ... {line[-half:]}")
