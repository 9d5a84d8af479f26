"""Checker of types and array shapes that the test run puts round every function of critlearn."""

from beartype import BeartypeConf, beartype

# An int is welcome where a float is asked for, as in ordinary Python.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
