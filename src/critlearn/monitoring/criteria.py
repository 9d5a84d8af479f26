"""Criteria of monitoring: what decides which updates a fit may use."""

from typing import Final

RESOLVED_SPACINGS: Final = 8
"""Smallest resolved update, in spacings of the largest stored value of the variable (dimensionless).

An update is the difference of two stored values, each rounded by up to half a spacing: from 8 spacings on, its rounding
error is at most 1/8, and 5% in the root mean square. Smaller updates are kept out of fits. There is no validation page:
the bound follows from rounding alone.
"""
