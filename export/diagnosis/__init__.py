"""Finds the first layer at which an artifact diverges from the model."""
