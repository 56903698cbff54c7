"""Complete networks, as functions that return a Functional model."""
