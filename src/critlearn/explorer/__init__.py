"""The explorer: a local page to compose, design and look through runs; everything that is typed in is read, not run."""

from critlearn.explorer.server.start import serve

__all__ = ["serve"]
