"""One file a format, each with the same two functions.

`write(twin, path, *, opset)` writes the artifact at `path`;
`open_runner(path)` opens it with its own runtime.
"""
