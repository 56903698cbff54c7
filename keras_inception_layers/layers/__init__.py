"""The layers: the blocks of the papers and what they are made of."""
