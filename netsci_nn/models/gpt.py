"""A small GPT: a causal transformer that predicts the next token, of ordinary modules that `sparsify` reaches."""

import torch
from torch import nn

from netsci_nn.checks import check_count, check_real
from netsci_nn.errors import ConfigError, DataError
from netsci_nn.kernels import is_traced
from netsci_nn.models.mlp import seeded_torch
from netsci_nn.sampling import Rng, as_generator

INIT_STD = 0.02
EXPANSION = 4
LARGEST_SIZE, MOST_LAYERS = 2**20, 1000


class CausalSelfAttention(nn.Module):
    """Attention of every token to itself and those before it; one projection gives queries, keys and values."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.query_key_value, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, width]` to the same shape."""
        parts = self.query_key_value(x).chunk(3, dim=-1)
        query, key, value = (part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in parts)
        dropout = self.dropout if self.training else 0.0
        seen = nn.functional.scaled_dot_product_attention(query, key, value, dropout_p=dropout, is_causal=True)
        return self.projection(seen.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a perceptron of two layers, each on normalised inputs and added to them."""

    def __init__(self, width: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(width), CausalSelfAttention(width, n_heads, dropout)
        self.mlp_norm, self.mlp = (
            nn.LayerNorm(width),
            nn.Sequential(nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width)),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, width]` to the same shape."""
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        return x + self.dropout(self.mlp(self.mlp_norm(x)))


class GPT(nn.Module):
    """A causal transformer with pre-normalisation and learned positions.

    Args:
        vocabulary_size: number of different tokens, 1 to 2^20, as the next two.
        context: most tokens that it reads at once.
        width: numbers per token, a multiple of `n_heads`.
        n_layers: blocks of attention and perceptron, 1 to 1000.
        n_heads: of attention, at least 1.
        dropout: probability with which what a block adds, and attention, is dropped in training; in [0, 1).
        rng: int seed or numpy Generator, for the initial weights; torch's global generator is left as it was.

    Shapes: tokens `[batch, length]`, integers in [0, vocabulary_size), to logits `[batch, length, vocabulary_size]`; the
        logits at a place are for the token that follows it.

    Weights are N(0, 0.02), those that lead back to the sum of a block N(0, 0.02 / sqrt(2 n_layers)), biases 0.
    Source: Radford et al. 2019, "Language models are unsupervised multitask learners"; the head has weights of its own.

    Raises:
        ConfigError: if an argument is not allowed.
        DataError: if `forward` gets something else than such tokens, or more than `context`.

    Example:
        >>> import netsci_nn as ns
        >>> model = GPT(vocabulary_size=65, context=16, width=32, n_layers=2, n_heads=4, rng=0)
        >>> ns.sparsify(model, density=0.1, rng=0).sparse[0].name
        'blocks.0.attention.query_key_value'
        >>> model(torch.zeros(3, 16, dtype=torch.long)).shape
        torch.Size([3, 16, 65])
    """

    def __init__(
        self,
        vocabulary_size: int,
        context: int,
        *,
        width: int = 256,
        n_layers: int = 4,
        n_heads: int = 4,
        dropout: float = 0.0,
        rng: Rng,
    ) -> None:
        super().__init__()
        sizes = {"vocabulary_size": vocabulary_size, "context": context, "width": width}
        vocabulary_size, context, width, n_layers, n_heads = (
            check_count(name, value, 1, MOST_LAYERS if name == "n_layers" else LARGEST_SIZE, error=ConfigError)
            for name, value in (sizes | {"n_layers": n_layers, "n_heads": n_heads}).items()
        )
        if width % n_heads:
            raise ConfigError(f"width is {width} and n_heads is {n_heads}; the width must be a multiple of the heads")
        dropout = check_real("dropout", dropout, lambda value: 0 <= value < 1, "in [0, 1)", ConfigError)
        with seeded_torch(as_generator(rng)):
            self.tokens, self.positions = nn.Embedding(vocabulary_size, width), nn.Embedding(context, width)
            self.blocks = nn.ModuleList(Block(width, n_heads, dropout) for _ in range(n_layers))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary_size)
            for name, parameter in self.named_parameters():
                if parameter.dim() > 1:
                    is_added = name.endswith(("attention.projection.weight", "mlp.2.weight"))
                    nn.init.normal_(parameter, std=INIT_STD / (2 * n_layers) ** 0.5 if is_added else INIT_STD)
                elif name.endswith("bias"):
                    nn.init.zeros_(parameter)

    @property
    def context(self) -> int:
        """Most tokens that the model reads at once."""
        return self.positions.num_embeddings

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens `[batch, length]` to logits `[batch, length, vocabulary_size]`."""
        if not is_traced():
            self._check(tokens)
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))

    def _check(self, tokens: torch.Tensor) -> None:
        if not isinstance(tokens, torch.Tensor) or tokens.dim() != 2 or tokens.dtype not in (torch.int64, torch.int32):
            kind = (
                f"{tokens.dtype} of shape {tuple(tokens.shape)}" if isinstance(tokens, torch.Tensor) else type(tokens).__name__
            )
            raise DataError(f"tokens is {kind}; it must be int64 or int32 of shape [batch, length]")
        if tokens.shape[1] > self.context:
            raise DataError(f"tokens has length {tokens.shape[1]}; it must be at most the context, {self.context}")
        if tokens.numel() and not tokens.is_meta:
            low, high = (int(number) for number in tokens.aminmax())
            if low < 0 or high >= self.tokens.num_embeddings:
                raise DataError(
                    f"tokens has the value {low if low < 0 else high}; values must be in [0, {self.tokens.num_embeddings})"
                )
