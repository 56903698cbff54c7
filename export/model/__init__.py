"""Keras models: loading, the inference model, and the references."""
