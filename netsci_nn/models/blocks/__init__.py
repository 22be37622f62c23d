"""Compact modules of convolutional networks, each a function that builds it of ordinary torch modules.

They are those of section 4 of a survey of compact networks (Lin, Wu, Chai and Yin, Acta Automatica Sinica 46(1), 2020). In each
the channels are joined by a fixed graph: all pairs in a full convolution, blocks in a grouped one, a matching in a depthwise
one. `netsci_nn.models.cost` counts parameters, multiply-adds and the density of these graphs. Weights are drawn from torch's
global generator, as those of `nn.Conv2d` are; under `torch.device("meta")` nothing is drawn, which is enough for counting.
"""

from netsci_nn.models.blocks.dense import dense_block
from netsci_nn.models.blocks.inception import inception_v1, inception_v3
from netsci_nn.models.blocks.mobile import mobilenet_v1, mobilenet_v2
from netsci_nn.models.blocks.network_in_network import mlpconv
from netsci_nn.models.blocks.parts import Concatenate, Highway, Residual
from netsci_nn.models.blocks.residual import bottleneck, highway, residual, resnext
from netsci_nn.models.blocks.shuffle import shufflenet
from netsci_nn.models.blocks.xception import xception

__all__ = [
    "Concatenate",
    "Highway",
    "Residual",
    "bottleneck",
    "dense_block",
    "highway",
    "inception_v1",
    "inception_v3",
    "mlpconv",
    "mobilenet_v1",
    "mobilenet_v2",
    "residual",
    "resnext",
    "shufflenet",
    "xception",
]
