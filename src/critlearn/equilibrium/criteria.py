"""Criteria for certifying a state of a network as local learning equilibrium.

docs/certificates.md has the rules; validation/equilibrium_states.py shows their effect on states whose truth is known.
"""

from typing import Final

TOLERANCE: Final = 0.1
"""Largest drift at equilibrium of a variable or along a direction, in units of its fluctuation."""

EXCEPTIONS: Final = 0.05
"""Largest share of the variables that may drift more: noise of training moves some of them."""

LARGEST_COHERENCE: Final = 0.3
"""Largest ``|sum delta| / sum |delta|`` at equilibrium; it is 1 where all samples push one way.

For changes of Gaussian spread a drift of 0.1 fluctuations is a coherence of 0.125; where few samples move a variable
the drift is small beside the fluctuation, and only the coherence shows that they all push it one way.
"""

COHERENT_BY_CHANCE: Final = 4.0
"""Sum of the changes, in units of the root of their summed squares, below which chance may have made them coherent: so
many changes of equal size and one sign need 16 samples."""

ONE_SIGNED: Final = 0.99
"""Coherence from which all samples that move a variable push it one way, whichever of them are in charge."""

FEWEST_ONE_SIGNED: Final = 16
"""Samples that must move a one-signed variable: sixteen random signs agree in 1 of 30,000."""

LEAST_SHARE: Final = 1e-3
"""Least share of a principal direction in the samples' variance. Along directions of less the loss is flat and drifts
slowly at true equilibria (0.2 fluctuations), while one of a thousandth drifts by 0.001."""

COHERENT_EXCEPTIONS: Final = 1e-4
"""Largest share of the variables that may be coherent: none of ten thousand, so that the others do not hide one feature
that is still learned. True equilibria of small networks have none."""

HOLDING: Final = 0.5
"""Share of the tolerance from which on a drift along a direction that decay balances is one that decay holds."""

ROUNDING: Final = 16.0
"""Mean size of a variable's changes up to which they may be rounding alone, in units of rounding of the largest changes
of a network: those of the biases of keys in attention, which cancel, are a tenth of a unit."""

DIRECTIONS: Final = 20
"""Number of leading principal directions of the samples' changes along which drift is looked at."""

MODE_SAMPLES: Final = 256
"""Samples that give the principal directions: the standard deviation along one is known to 4%."""

FEWEST_SAMPLES: Final = 30
"""Samples below which drift and chance cannot be told apart: a drift of 0.1 fluctuations is half a standard error."""

SADDLE_GAIN: Final = 0.03
"""Fall of the loss, relative to it, in a short descent along the lowest curvature from which on the state is a saddle,
or still on its way down: states that stay where they are have at most 0.02, saddles 0.1 to 1."""

SADDLE_ERRORS: Final = 3.0
"""The same fall in standard errors, paired over samples: saddles have tens to thousands."""

LARGE_GAIN: Final = 0.2
"""Fall from which on fewer standard errors do: no true equilibrium shows a tenth of it."""

LARGE_GAIN_ERRORS: Final = 2.0
"""Standard errors that a large fall needs."""

LANCZOS_STEPS: Final = 20
"""Products of the Hessian with a vector; the lowest eigenvalue of a saddle is apart from the others long before."""

CURVATURE_SAMPLES: Final = 1000
"""Samples whose loss is looked at for its curvature. Of sets larger than `WHOLE_SETS` times so many, they are descended
over and as many others judged."""

CURVATURE_PRODUCTS: Final = 100_000_000
"""Samples times variables whose loss is looked at for its curvature, if fewer than those: 100 samples of a million
variables."""

FEWEST_CURVATURE_SAMPLES: Final = 100
"""Samples that are looked at however large the network is: the fall of the loss is known to a tenth of its spread."""

WHOLE_SETS: Final = 4
"""Multiple of those samples up to which a data set is descended over and judged as a whole: a loss that still falls
because the network fits noise of the labels falls on its own samples only."""

FIRST_STEPS: Final = (1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Lengths of the first step along the lowest curvature, either way, relative to the length of all variables, or to one
that changes the loss by about itself: the descent starts from the lowest loss, from the state itself if none is lower.
In networks of a million variables steps of 0.03 already lead far up."""

DESCENT_STEPS: Final = 40
"""Steps of the descent. From saddles of XOR it falls by half to all of the loss in 20; a network that slowly fits noise
of labels falls by 2% in 20, as equilibria may, and by 4% in 40."""

CURVATURE_STEPS: Final = 1000
"""Steps after which a pass to a fixed point is given up where the curvature is looked at: the loss counts as infinite.

Places at the edge of what is stable take ten times as many, and a descent along that edge meets hundreds of them.
"""

LOSS_WINDOW: Final = 60
"""Number of last epochs whose losses are tested for a trend: a fall of 0.1 standard deviations per epoch then is
thirteen standard errors, enough to exclude it in the hundredth check of a training, and also where successive losses
are correlated by a half."""

EXCLUDED_FALL: Final = 0.1
"""Fall of the loss per epoch, in its standard deviations, that must be excluded for it to be stationary."""

FALSE_STATIONARY: Final = 0.1
"""Probability that a loss which falls so fast passes any of the repeated checks of one training."""

LEAST_SCATTER: Final = 1e-6
"""Least standard deviation of losses, relative to them: a full batch gives a smooth loss without any, whose fall by
1e-7 per epoch changes no exponent."""

SEPARATED_EPOCHS: Final = 200
"""Epochs for which data must stay separated, without weight decay, before training is given up.

The weights of separable data grow without bound; a single check may find data separated by chance.
"""

COOLING: Final = 20
"""Epochs over which the learning rate falls before a state is certified: Adam's noise follows the rate."""

COOLED: Final = 0.01
"""Factor to which it falls: noise of the weights then is a tenth to a hundredth of that at the full rate."""
