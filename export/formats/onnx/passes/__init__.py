"""Graph passes: each rewrites a `Graph` and keeps what it computes."""
