"""Bundles: write, publish, hash and open what an export produces."""
