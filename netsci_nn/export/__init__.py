"""Trained networks in formats of other programs."""

from netsci_nn.export.onnx_file import FORMS, OnnxFile, export_onnx

__all__ = ["FORMS", "OnnxFile", "export_onnx"]
