"""The version of the package, in a leaf module so that nothing heavy is imported to read it."""

__version__ = "0.1.0"
