"""Benchmarks: the artifacts of a bundle and Keras, measured side by side."""
