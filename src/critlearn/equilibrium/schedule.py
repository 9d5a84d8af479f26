"""Learning rate of every epoch of a training to equilibrium: full, then falling before each certificate."""

from critlearn.equilibrium.criteria import COOLED, COOLING, LOSS_WINDOW
from critlearn.equilibrium.trend import loss_trend


class Schedule:
    """Learning rate of every epoch: full until the loss is stationary, then falling; full again if that fails.

    Parameters
    ----------
    epochs
        Epochs of the training; the rate falls in the last ones in any case.
    check_every
        Epochs between two looks at the losses.
    stop
        Whether the training may end earlier; otherwise the rate falls at the end only.
    """

    def __init__(self, epochs: int, check_every: int, stop: bool) -> None:
        self._epochs, self._check_every, self._stop = epochs, check_every, stop
        # Too short a training to have a trend is not cooled either.
        self._length = COOLING if epochs >= LOSS_WINDOW + COOLING else 0
        self._last = epochs - self._length
        self._begun: int | None = None
        self.checks, self._wait = 0, check_every
        self._next = LOSS_WINDOW
        self.steady: list[float] = []

    def rate(self, epoch: int) -> float:
        """Factor of the learning rate."""
        if self._begun is None and epoch > self._last:
            self._begun = epoch - 1
        if self._begun is None:
            return 1.0
        return float(COOLED ** ((epoch - self._begun) / self._length))

    def cooled(self, epoch: int) -> bool:
        """Whether the rate has fallen to its end, and the state is to be certified."""
        return epoch == self._epochs or (self._begun is not None and epoch - self._begun == self._length)

    def look(self, epoch: int, losses: list[float]) -> None:
        """Look at the trend of the losses at full rate, and let the rate fall if they are stationary."""
        if self._begun is not None:
            if self.cooled(epoch):
                # Each attempt that fails doubles the time to the next.
                self._begun, self._next, self._wait = None, epoch + self._wait, 2 * self._wait
            return
        self.steady.append(losses[-1])
        if not self._stop or epoch < self._next or (epoch - self._next) % self._check_every:
            return
        self.checks += 1
        trend = loss_trend(self.steady, check=self.checks)
        if trend is not None and trend.stationary and epoch + self._length <= self._epochs:
            self._begun = epoch
