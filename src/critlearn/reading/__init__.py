"""Everything that comes from outside: YAML, JSON, tables and arrays, bounded before they are expanded.

A file is data, never code, and its fault becomes a `DataError` of one line.
"""
