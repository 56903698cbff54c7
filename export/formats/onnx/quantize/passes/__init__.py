"""Rewrites of a graph before and after ONNX Runtime quantizes it."""
