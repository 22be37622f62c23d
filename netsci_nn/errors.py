"""The errors that a user can cause: each is a `ValueError` that says what was given and what is allowed."""


class TopologyError(ValueError):
    """A graph, an edge list or an edge budget that cannot be the topology of a layer."""


class ConfigError(ValueError):
    """An argument or a line of an experiment file that is not allowed."""


class DataError(ValueError):
    """A dataset that is missing, damaged or does not fit the model."""


class CheckpointError(ValueError):
    """A saved file that is damaged or does not belong to the model it is loaded into."""
