"""Quantized ONNX artifacts."""
