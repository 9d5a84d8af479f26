"""Criteria for the duality map: which changes lie on the sheet, and how caustics are classified.

Each has its unit and the page of the documentation that shows its effect.
"""

from typing import Final

import torch

ON_SHEET: Final = {torch.float64: 1e-6, torch.float32: 1e-2}
"""Largest residual ``|Phi(x, t) - dq| / |dq|`` of a vector on the sheet, by the floating-point type of the changes.

Far above the rounding error of a data point's own change, which is below 1e-12 in double precision; changes in single
precision carry larger errors. Effect: docs/duality.md (inverse), docs/round_trips.md (off the sheet refused).
"""

RANK_OF_CHANGES: Final = {torch.float64: 1e-8, torch.float32: 1e-3}
"""Singular values of a layer's changes, in units of the largest, above which they count towards the rank.

The rank is the number of samples over which a mean was taken. Effect: docs/inversions_measured.md (means).
"""

SAME_STATE: Final = 1e-5
"""Distance of two inputs, in units of one plus the length of the input, up to which they are the same boundary state.

Descents from different starts do not end in exactly the same point. Effect: docs/round_trips.md (unique).
"""

LOST_DIRECTION: Final = 1e-4
"""Second smallest singular value of a square Jacobian, in units of the largest, above which one direction is lost.

Rows have length 1. Below it the caustic counts as higher, whatever its order. Effect: docs/duality.md (density and
caustics).
"""

HIGHEST_ORDER: Final = 7
"""Greatest order n of ``delta - delta_c ~ s^n`` that a caustic can be found to have; 2 is a fold, 3 a cusp.

The order is read from a polynomial fitted to the slope, computed from Jacobians in double precision. A slope ``s^6`` is
of the size 1e-12 where the leading power is read, ``s = 0.01``; higher powers come close to rounding, 1e-16.
Predictions have formulas for the slope and reach further (`prediction.criteria`).

Effect: docs/duality.md (density and caustics).
"""

POLYNOMIAL_MISFIT: Final = 1e-5
"""Largest misfit of the slope to a polynomial near a caustic, in units of the largest slope there.

Below it the order of the polynomial is that of the caustic.

Effect: docs/duality.md (density and caustics).
"""

POLYNOMIAL_ERROR: Final = 1e-11
"""Error of the polynomial's coefficients, in units of the largest slope: what decides whether roots are one.

The misfit at the width where it counts is 1e-5 / 8^7 = 5e-12, and rounding of the Jacobians some 1e-13. Two folds are
told from a cusp down to about 1e-6 of the width.

Effect: docs/duality.md (density and caustics).
"""

TANGENT_SHARE: Final = 0.95
"""Share of the variance of a sample's nearest neighbours that the directions of the data there hold.

The rest is what noise and curvature add. Data on a line or a plane need one and two directions for all of it.

Effect: docs/duality.md (dimension of learning).
"""

POOL_OF_NEIGHBOURS: Final = 10_000
"""Samples among which neighbours are sought: of a larger data set, so many spread evenly over it.

Effect: docs/duality.md (dimension of learning).
"""

WHOLE_SET: Final = 0.5
"""Share of the data that neighbourhoods may hold: with more of them, their directions are those of the whole set.

Half of the data around a sample reach as far as the data do, so that curvature and distant parts count as directions.

Effect: docs/duality.md (dimension of learning).
"""

FOLLOWED: Final = 1e-9
"""Largest of the last three coefficients, in units of the largest, of a polynomial that follows the determinant.

Two zeros at a distance d leave a dip of (d / w)^2 / 2 on a piece of width w, 1e-6 for 1e-4 of a path in 16 pieces.
Effect: docs/caustics_measured.md (two folds on a path).
"""

TOUCHED: Final = 1e-11
"""Determinant at an extremum, in units of the largest on its piece, that counts as zero: the path touches a caustic.

A dip of this size has two zeros at most 4e-6 of the piece's width apart. Effect:
docs/caustics_measured.md (two folds on a path).
"""

SAME_CURVE: Final = 1e-6
"""Distance across a curve of caustics, in units of the region's width, up to which a start is on it.

The nearest known point of the curve is a thousandth of a step off along it, where it bends by 1e-9. Effect:
docs/caustics_measured.md (curves and cusps).
"""

SPANNED: Final = 1e-8
"""Smallest singular value of two unit vectors that span a plane: the one made orthogonal to the other keeps half of its
16 digits.

Effect: docs/duality.md (density and caustics).
"""
