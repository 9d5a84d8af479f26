"""Numbers of this package that decide what a user is told: where the resolution floor of a measurement lies."""

from typing import Final

WRONG_BY: Final = 0.01
"""Difference of ``ln|gradient|`` between two precisions from which on a gradient counts as wrong.

A hundredth is about one bin of a sketch, so that what passes is counted in its bin or the next. Docs: engine,
resolution floor.
"""

WRONG_SHARE: Final = 0.05
"""Share of wrong gradients among neighbours in size from which on these sizes lie below the resolution floor.

A fit to a window in which one value in twenty is off by a bin moves by less than its standard error. Docs: engine,
resolution floor.
"""
