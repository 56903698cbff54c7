"""Quantized TFLite artifacts."""
