"""Fewer bits, and what they cost on the user's own data."""
