"""Graph passes: each rewrites a `Graph` in place and keeps its outputs."""
