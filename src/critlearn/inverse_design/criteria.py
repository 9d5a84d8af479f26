"""Numbers that decide what can be designed, and what is said of a design.

`docs/design.md` says what they mean to a user, with designed exponents against measured ones, which
`validation/designed_losses.py` makes.
"""

from typing import Final

import numpy as np

SMALLEST_EXPONENT, LARGEST_EXPONENT = -2.0, 3.0
"""Exponents that are offered: below, error signals are steps; above, they hardly fall with the margin."""

LARGEST_TEMPERATURE: Final = 3.0
"""Temperature of a softmax up to which it is offered: that of the largest exponent."""

_FAR: Final = np.geomspace(30.0, 1e6, 400)

CONVEXITY_MARGINS: Final = np.concatenate([-_FAR[::-1], np.linspace(-30.0, 30.0, 6001)[1:-1], _FAR])
"""Margins at which a loss is tested for convexity in the output."""

CONVEXITY_ROUNDING: Final = 1e-12
"""Relative growth of the slope's logarithm from one of these margins to the next that counts as none."""

MONOTONICITY_POINTS: Final = np.sinh(np.linspace(-4.0, 4.0, 401))
"""Pre-activations, out to 27, at which an activation is tested for being strictly increasing."""
