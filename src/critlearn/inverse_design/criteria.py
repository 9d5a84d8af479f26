"""Criteria for what can be designed, and for the remarks on a design.

`docs/design.md` says what they mean to a user, with designed exponents against measured ones, which
`validation/designed_losses.py` makes.
"""

from typing import Final

import numpy as np

SMALLEST_EXPONENT, LARGEST_EXPONENT = -2.0, 3.0
"""Range of exponents that can be designed: below, error signals are nearly steps; above, they hardly fall."""

LARGEST_TEMPERATURE: Final = 3.0
"""Largest temperature of a softmax: its exponent is its temperature, so it equals `LARGEST_EXPONENT`."""

_FAR: Final = np.geomspace(30.0, 1e6, 400)

CONVEXITY_MARGINS: Final = np.concatenate([-_FAR[::-1], np.linspace(-30.0, 30.0, 6001)[1:-1], _FAR])
"""Margins at which a loss is tested for convexity in the output."""

CONVEXITY_ROUNDING: Final = 1e-12
"""Relative growth of ``ln(g / f')`` between neighbouring margins that counts as rounding."""

MONOTONICITY_POINTS: Final = np.sinh(np.linspace(-4.0, 4.0, 401))
"""Pre-activations from -27 to 27 at which an activation is tested for being strictly increasing."""
