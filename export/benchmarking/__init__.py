"""Measures the artifacts of a bundle beside Keras, side by side."""
