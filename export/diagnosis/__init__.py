"""Find the first layer at which an artifact diverges from its model."""
