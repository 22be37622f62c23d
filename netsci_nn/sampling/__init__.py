"""Drawing edges: distinct cells of a layer, preferential attachment, and shares of a budget."""

from netsci_nn.checks import Rng, as_generator
from netsci_nn.sampling.apportion import even_borders, even_parts, exact_largest_remainder, largest_remainder, shuffled_parts
from netsci_nn.sampling.cells import contains, distinct_cells, distinct_per_row
from netsci_nn.sampling.preferential import check_growth, fill_quotas, grow_preferentially

__all__ = [
    "Rng",
    "as_generator",
    "check_growth",
    "contains",
    "distinct_cells",
    "distinct_per_row",
    "even_borders",
    "even_parts",
    "exact_largest_remainder",
    "fill_quotas",
    "grow_preferentially",
    "largest_remainder",
    "shuffled_parts",
]
