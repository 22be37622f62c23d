"""Whole-step compiled training: runs of mini-batches of a stack of sparse layers as one call of compiled code.

`steps` is the arithmetic, `edges` changes the edges of a layer between two mini-batches, `trainer` decides which models can be
trained this way and moves their state in and out.
"""

from netsci_nn.training.compiled.trainer import CompiledTraining, StepsOfTorch, reason_against

__all__ = ["CompiledTraining", "StepsOfTorch", "reason_against"]
