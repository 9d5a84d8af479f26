"""The numbers that decide what a user is told of a measurement: an exact zero, a warning, a resolution floor.

Their effect is shown on the page "The fluctuation engine" (docs/engine.md).
"""

from typing import Final

CANCELLED: Final = 16
"""Spacings of floating-point numbers, relative to the sum of the terms' sizes, within which a sum counts as an exact
zero. Sums of rounded terms are off by a few of them; a mean that is counted must be more than its rounding error."""

AGREEMENT: Final = {"double": 1e-6, "single": 1e-3}
"""Largest difference between a layer rule and automatic differentiation, in units of the variable's largest gradient.
Beyond it the rule is not used for that variable, with a warning. It lies far above rounding, and far below the error of
a wrong rule, which is of the order of the gradient itself."""

NOISE: Final = {"double": 1e-12, "single": 1e-4}
"""Differences that are rounding whatever the variable's own gradients, in units of the layer's largest gradient: a
variable may have no gradient but rounding, like the bias of attention keys."""

ROUNDED: Final = {"double": 1e-14, "single": 1e-6}
"""The same in units of the network's largest gradient: a whole layer may have no gradient but rounding, which is a few
spacings of the numbers that cancel."""

COMPARED: Final = 500
"""Entries of a variable that are compared with automatic differentiation, for each of a few samples: the largest of so
many equal stretches, and as many at random."""

FIRST_AUDITED: Final = 1024
"""Number of the first sample whose batch is compared with automatic differentiation; then 2,048, 4,096 and so on. A
measurement of any size pays for a handful of such batches."""

FLOOR_SAMPLES: Final = 8
"""Samples on which the resolution floor is found: with fewer, the rounding of others may lie far above it."""

FLOOR_GRADIENTS: Final = 1 << 24
"""Gradients of all those samples and variables, for which fewer samples are taken, but two: two samples of a large
network have tens of thousands of entries to compare, and each takes a hundredth of a measurement of 64 samples."""

FEWEST_FLOOR_GRADIENTS: Final = 1000
"""Gradients of samples and variables for which more samples are taken: of a network of seven variables, eight samples
have too few roundings to show the larger ones."""

PRECISE_SAMPLES: Final = 4
"""The same where the reference is a pass at 60 digits, which takes a network's weights for each sample."""

LOSS_SAMPLES: Final = 256
"""Samples on which the floor of a loss is found that is differentiated automatically: few are certain enough to show
where it cancels."""

FLOOR_ENTRIES: Final = 500
"""Entries of each variable on which the resolution floor is found, the same ones in every pass."""

FEWEST_DIRECTION_SAMPLES: Final = 64
"""Samples that give the principal directions however large the network is: each of 20 directions still has three, and
the standard deviation along it is known to a tenth."""

DIRECTION_PRODUCTS: Final = 2e11
"""Products of numbers in all inner products of those samples, about five seconds; fewer samples are taken where they
would be more: 256 up to three million variables."""
