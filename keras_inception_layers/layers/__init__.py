"""The layers: the building blocks, and the blocks of each paper."""
