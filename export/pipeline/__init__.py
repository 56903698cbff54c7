"""Export a model: from loading it to publishing the bundle."""
