"""Files of others: state dicts of any torch model, edge lists, matrices and graphs become layers with weights."""

from netsci_nn.intake.pretrained import load_pretrained
from netsci_nn.intake.take_in import take_in
from netsci_nn.intake.values import Intake, Layer, Network

__all__ = ["Intake", "Layer", "Network", "load_pretrained", "take_in"]
