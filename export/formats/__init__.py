"""The formats of artifacts, a folder each; `registry` lists them."""
