"""Quantize a model, and measure the result on the user's own data."""
