"""Inputs of models: files as a stream, samples, images and batches."""
