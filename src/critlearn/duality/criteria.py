"""Every number that decides what a user is told of the duality map: what is on the sheet, and what a caustic is.

Each stands here once, with its unit and the page of the documentation that shows its effect.
"""

from typing import Final

import torch

ON_SHEET: Final = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Largest residual ``|Phi(x, t) - dq| / |dq|`` of a vector on the sheet, by the floating-point type of the changes.

Far above what rounding leaves of a data point's own change, below 1e-12 in double precision; changes in single
precision come with errors of their own. Effect: docs/duality.md (inverse), docs/round_trips.md (off the sheet refused).
"""

RANK_OF_CHANGES: Final = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Singular values of a layer's changes, in units of the largest, above which they count to the rank.

The rank is the number of samples that a mean was taken of. Effect: docs/round_trips.md (means separated).
"""

SAME_STATE: Final = 1e-5
"""Distance of two inputs, in units of one plus the length of the input, up to which they count as one boundary state.

Descents do not end in exactly the same place. Effect: docs/round_trips.md (unique).
"""

LOST_DIRECTION: Final = 1e-4
"""Second smallest singular value of a square Jacobian, in units of the largest, above which one direction is lost.

Rows have length 1. Below it the caustic counts as higher, whatever its order. Effect: docs/duality.md (density and
caustics).
"""

HIGHEST_ORDER: Final = 7
"""Greatest order n of ``delta - delta_c ~ s^n`` that a caustic can be found to have; 2 is a fold, 3 a cusp.

Effect: docs/duality.md (density and caustics).
"""

POLYNOMIAL_MISFIT: Final = 1e-5
"""Deviation of the map from a polynomial near a caustic, in units of its largest slope there, at which the polynomial's
order is the caustic's.

Effect: docs/duality.md (density and caustics).
"""
