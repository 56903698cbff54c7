"""The published folder: its files, their hashes, and what they hold."""
