"""Whether an artifact computes what the model computes."""
