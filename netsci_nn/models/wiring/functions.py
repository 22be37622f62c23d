"""Functions of torch by what they do to neurons; names as `recording.Step.function` has them."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CONSTANTS = _names(
    """
    zeros_like ones_like full_like empty_like rand_like randn_like randint_like new_zeros new_ones new_full new_empty new_tensor
    """
)
"""They take no more than the shape of a tensor."""

MOVES = _names(
    """
    view reshape view_as reshape_as flatten unflatten ravel permute transpose t T mT H swapaxes swapdims movedim moveaxis
    squeeze unsqueeze expand expand_as broadcast_to repeat tile repeat_interleave chunk split split_with_sizes tensor_split
    hsplit vsplit unbind narrow select index_select getitem cat concat concatenate stack hstack vstack dstack roll flip fliplr
    flipud rot90 pad pixel_shuffle pixel_unshuffle channel_shuffle unfold diagonal
    """
)
"""They put numbers elsewhere, or leave some out."""

JOINS = _names("cat concat concatenate stack hstack vstack dstack")
"""Moves that put several tensors together."""

KEEPS = _names(
    """
    clone contiguous detach to float double half bfloat16 type type_as cpu cuda data requires_grad neg negative positive alias
    tril triu dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout feature_dropout batch_norm layer_norm
    group_norm instance_norm rms_norm
    """
)
"""What they return is still a sum of inputs per neuron: by convention normalisations, too, which look at all neurons."""

BENDS = _names(
    """
    relu relu6 leaky_relu prelu rrelu elu celu selu gelu silu mish hardswish hardtanh hardsigmoid hardshrink softshrink
    tanhshrink threshold sigmoid logsigmoid tanh softplus softsign softmax log_softmax softmin gumbel_softmax exp exp2 expm1
    log log2 log10 log1p sqrt rsqrt square abs absolute sign sgn reciprocal sin cos tan asin acos atan sinh cosh erf erfc
    clamp clip clamp_min clamp_max round floor ceil trunc frac nan_to_num normalize local_response_norm logical_not
    bitwise_not isnan isinf isfinite
    """
)
"""Functions of each number by itself, or normalisations such as softmax: neuron k stays neuron k."""

SUMS = _names("add radd sub subtract rsub")
"""Of two tensors, number by number."""

SCALES = _names("mul rmul multiply div divide truediv true_divide masked_fill where")
"""Of several tensors, number by number; with constants they keep a sum a sum."""

MIXES = _names(
    """
    rtruediv rdiv pow rpow floor_divide maximum minimum fmax fmin lerp addcmul addcdiv atan2 hypot fmod remainder gt lt ge le
    eq ne greater less greater_equal less_equal logical_and logical_or logical_xor bitwise_and bitwise_or and or xor
    """
)
"""Of several tensors, number by number."""

POOLS = {
    f"{kind}_pool{dims}d": dims
    for kind in ("max", "avg", "lp", "adaptive_max", "adaptive_avg", "fractional_max")
    for dims in (1, 2, 3)
} | {"interpolate": 0, "upsample": 0}
"""They put together places of one map, over so many dimensions (0: all after the channels)."""

REDUCES = _names("mean sum amax amin max min logsumexp std var prod norm nanmean nansum median")
"""They put together what lies along a dimension."""

MATRIX_PRODUCTS = _names("matmul rmatmul mm bmm")

LEAVES = _names("numpy array tolist item float int complex")
"""They hand numbers to what is not torch, which may do anything to them, unless they give a tensor, as `x.float()` does."""
