"""The one error type of the package."""


class AnalysisError(ValueError):
    """A graph or an argument that cannot be analysed; the sentence names the argument, its value and what is allowed."""
