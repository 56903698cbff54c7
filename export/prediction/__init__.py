"""Any number of inputs through an artifact, streamed: run and written."""
