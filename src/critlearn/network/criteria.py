"""Criteria for networks: the resolution floor, which networks are refused, and how an activation pass ends.

Each has its unit and the page of the documentation that shows its effect.
"""

from typing import Final

import torch

WRONG_BY: Final = 0.01
"""Difference of ``ln|gradient|`` between two precisions from which on a gradient counts as wrong.

A hundredth is about one bin of a sketch, so that what passes is counted in its bin or the next. Effect: docs/engine.md
(resolution floor).
"""

WRONG_SHARE: Final = 0.05
"""Share of wrong gradients among neighbours in size from which on these sizes lie below the resolution floor.

One in twenty, as at the usual level of tests: single values differ by chance, where they cancel. Effect:
docs/engine.md (resolution floor).
"""

SAME_OUTPUT: Final = {torch.float64: 1e-9, torch.float32: 1e-4}
"""Difference of a sample's output in two batches, in units of the largest output, that is taken for rounding.

By floating-point type; a network in which it is larger couples its samples, or is random, and is refused. Effect:
docs/engine.md.
"""

SAME_OUTPUT_COARSE: Final = 3e-2
"""The same for 16-bit types, whose spacing is up to 0.8% of a number."""

FIXED_POINT: Final = 1e-9
"""Change by one more step, in units of one plus the largest state, up to which an activation pass is at a fixed point.

Floating-point types in which this is less than 100 spacings of numbers have 100 of these. Effect: docs/duality.md
(networks on graphs).
"""

RETURNED: Final = 1e-12
"""Distance from an earlier state, in the same units, up to which an activation pass has returned to it.

At least 8 spacings of numbers. Effect: docs/duality.md
(networks on graphs).
"""

LARGEST_STATE: Final = 1e8
"""One plus the size of a state from which on an activation pass diverges.

Effect: docs/duality.md (networks on graphs).
"""

MOST_STEPS: Final = 100_000
"""Steps after which an activation pass without a number of steps has not converged: seconds for a hundred neurons.

A network may be given a smaller number. Effect: docs/duality.md (networks on graphs).
"""

STEPS_OF_A_BLOCK: Final = 2000
"""Steps between checks that the largest change within a block still shrinks or grows; else a pass has not converged.

Effect: docs/duality.md (networks on graphs).
"""

SHRINKING_CHANGES: Final = 0.999
"""Factor by which changes of a block must fall below all earlier blocks' to go on: convergence by 1 - 1e-6 a step does.

Effect: docs/duality.md (networks on graphs).
"""

GROWING_CHANGES: Final = 1.4
"""Factor by which changes of a block must rise above all earlier blocks' to go on: divergence does, chaos does not.

Effect: docs/duality.md (networks on graphs).
"""

SLOW_PASS: Final = 256
"""Steps after which a pass whose changes still shrink counts as slow: Newton's method looks for its end at doublings.

Effect: docs/duality.md (networks on graphs).
"""

SHRINKING_SLOWLY: Final = 0.99
"""Factor by which changes of a slow pass must have shrunk since half the steps: near a cycle they tend to a constant.

Effect: docs/duality.md (networks on graphs).
"""

FARTHER: Final = 10.0
"""Distance of a fixed point that Newton's method finds, in units of what the changes would add up to, that is allowed.

Farther ones are not those that the pass is heading for. Effect: docs/duality.md (networks on graphs).
"""
