"""Model inputs: tensor specs, samples, images and batches; needs only NumPy."""
