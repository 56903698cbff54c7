"""Any number of inputs through an artifact, streamed: read, run, written."""
