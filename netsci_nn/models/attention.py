"""`UnpackedAttention`: `nn.MultiheadAttention` whose four projections are layers of their own, so that they can be sparse."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from netsci_nn.errors import ConfigError, DataError
from netsci_nn.models.surgery import replace_layers

PROJECTIONS = "q_proj", "k_proj", "v_proj", "out_proj"


class UnpackedAttention(nn.Module):
    """The attention of an `nn.MultiheadAttention`, computed by the layers `q_proj`, `k_proj`, `v_proj` and `out_proj`.

    `nn.MultiheadAttention` holds the weights of queries, keys and values in one matrix and reads those of its output past the
    layer. `sparsify` puts this in its place; arguments, shapes, masks, dropout and results of `forward` are the same.

    Args:
        attention: it stays as it is; weights and biases are copied.

    Raises:
        ConfigError: if it is no plain `nn.MultiheadAttention`.

    Example:
        >>> packed = nn.MultiheadAttention(8, 2, batch_first=True)
        >>> attention, x = UnpackedAttention(packed), torch.randn(3, 5, 8)
        >>> torch.allclose(attention(x, x, x)[0], packed(x, x, x)[0], atol=1e-6)
        True
    """

    in_proj_weight = in_proj_bias = None  # what encoders of torch ask for, to leave their fused path
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    out_proj: nn.Module
    bias_k: nn.Parameter | None
    bias_v: nn.Parameter | None

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if type(attention) is not nn.MultiheadAttention:
            raise ConfigError(f"attention is a {type(attention).__name__}; it must be an nn.MultiheadAttention")
        self.embed_dim, self.kdim, self.vdim = attention.embed_dim, attention.kdim, attention.vdim
        self.num_heads, self.head_dim, self.dropout = attention.num_heads, attention.head_dim, attention.dropout
        self.batch_first, self.add_zero_attn = attention.batch_first, attention.add_zero_attn
        self._qkv_same_embed_dim = attention._qkv_same_embed_dim
        for name, (weight, bias) in _parts(attention).items():
            setattr(self, name, _linear(weight, bias))
        for name in ("bias_k", "bias_v"):
            bias = getattr(attention, name)
            self.register_parameter(name, None if bias is None else nn.Parameter(bias.detach().clone(), bias.requires_grad))
        self.train(attention.training)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the output and, if asked for, the attention; see `nn.MultiheadAttention.forward`."""
        if query.dim() not in (2, 3) or not query.dim() == key.dim() == value.dim():
            shapes = ", ".join(str(tuple(x.shape)) for x in (query, key, value))
            raise DataError(f"query, key and value have the shapes {shapes}; all must be 2-D, or all 3-D with a batch")
        is_batched = query.dim() == 3
        if not is_batched:
            query, key, value = query[None], key[None], value[None]
            key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = self.q_proj(query), self.k_proj(key), self.v_proj(value)
        if self.bias_k is not None:
            k, v = (
                torch.cat([x, b.expand(len(x), 1, -1)], dim=1) for x, b in ((k, self.bias_k), (v, self.bias_v)) if b is not None
            )
        q, k, v = (x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
        if self.add_zero_attn:
            k, v = (nn.functional.pad(x, (0, 0, 0, 1)) for x in (k, v))
        mask = self._mask(attn_mask, key_padding_mask, q, k, is_causal)
        dropout = self.dropout if self.training else 0.0
        if need_weights:
            scores = (q * self.head_dim**-0.5) @ k.transpose(-2, -1)
            weights = nn.functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropout, self.training)
            seen = weights @ v
        else:
            weights, seen = None, nn.functional.scaled_dot_product_attention(q, k, v, mask, dropout)
        output = self.out_proj(seen.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(dim=1)
        if not is_batched:
            return output[0], None if weights is None else weights[0]
        return output if self.batch_first else output.transpose(0, 1), weights

    def _mask(
        self, mask: torch.Tensor | None, padding: torch.Tensor | None, q: torch.Tensor, k: torch.Tensor, is_causal: bool
    ) -> torch.Tensor | None:
        """Return what is added to the scores, `[n or 1, heads or 1, length, length of the keys]`; None for nothing."""
        if mask is None and is_causal:
            mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).triu(1)
        added = None
        if mask is not None:
            added = _as_scores(mask, q.dtype)
            added = added.unflatten(0, (-1, self.num_heads)) if added.dim() == 3 and len(added) > 1 else added
        if padding is not None:
            hidden = _as_scores(padding, q.dtype)[:, None, None]
            added = hidden if added is None else added + hidden
        further = 0 if added is None else k.shape[2] - added.shape[-1]  # bias_k and the zero, which all may attend to
        return added if added is None or further == 0 else nn.functional.pad(added, (0, further))

    def packed(self, layers: Mapping[str, nn.Linear] | None = None) -> nn.MultiheadAttention:
        """Return the `nn.MultiheadAttention` that computes the same.

        Args:
            layers: dense ones by the names of the projections; by default its own, which must be `nn.Linear` then.
        """
        parts: list[Any] = [getattr(self, name) if layers is None else layers[name] for name in PROJECTIONS]
        out, has_bias = parts[-1], parts[-1].bias is not None
        sizes = self.embed_dim, self.num_heads, self.dropout, has_bias, self.bias_k is not None, self.add_zero_attn
        attention = nn.utils.skip_init(
            nn.MultiheadAttention,
            *sizes,
            kdim=self.kdim,
            vdim=self.vdim,
            batch_first=self.batch_first,
            device=out.weight.device,
            dtype=out.weight.dtype,
        )
        q, k, v = parts[:-1]
        sources: dict[str, list[Any]] = {
            "in_proj_weight": [q.weight, k.weight, v.weight],
            "in_proj_bias": [q.bias, k.bias, v.bias],
            "q_proj_weight": [q.weight],
            "k_proj_weight": [k.weight],
            "v_proj_weight": [v.weight],
            "bias_k": [self.bias_k],
            "bias_v": [self.bias_v],
            "out_proj.weight": [out.weight],
            "out_proj.bias": [out.bias],
        }
        with torch.no_grad():
            for name, parameter in attention.named_parameters():
                parameter.copy_(torch.cat(sources[name]))
                parameter.requires_grad_(any(source.requires_grad for source in sources[name]))
        return attention.train(self.training)

    def extra_repr(self) -> str:
        """Return the sizes, for `repr`."""
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"


@contextmanager
def unpacked(model: nn.Module, attention: Iterable[nn.MultiheadAttention], *, for_good: bool) -> Iterator[nn.Module]:
    """Have attention in a model unpacked while this lasts, and afterwards if nothing was raised and it is `for_good`.

    Yields:
        The model, or what stands for it if it is such attention itself.
    """
    separate: dict[nn.Module, nn.Module] = {packed: UnpackedAttention(packed) for packed in attention}
    whole, is_done = separate.get(model, model), False
    replace_layers(whole, separate)
    try:
        yield whole
        is_done = for_good
    finally:
        if not is_done:
            replace_layers(whole, {new: packed for packed, new in separate.items()})


def _parts(attention: nn.MultiheadAttention) -> dict[str, tuple[torch.Tensor, torch.Tensor | None]]:
    """Return views of weight and bias of every projection."""
    if attention.in_proj_weight is not None:
        weights = attention.in_proj_weight.chunk(3)
    else:
        weights = attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight
    biases = (None,) * 3 if attention.in_proj_bias is None else attention.in_proj_bias.chunk(3)
    out = attention.out_proj
    return dict(zip(PROJECTIONS, zip((*weights, out.weight), (*biases, out.bias), strict=True), strict=True))


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    n_out, n_in = weight.shape
    linear = nn.utils.skip_init(nn.Linear, n_in, n_out, bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        linear.weight.copy_(weight).requires_grad_(weight.requires_grad)
        if bias is not None:
            linear.bias.copy_(bias).requires_grad_(bias.requires_grad)
    return linear


def _as_scores(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a mask as numbers to be added to scores; True becomes minus infinity."""
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, float("-inf"))
    return mask.to(dtype)
