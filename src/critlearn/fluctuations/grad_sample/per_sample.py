"""Per-sample gradients of every trainable variable of any network, in the cheapest form that is correct.

Layer rules are not trusted blindly: their gradients are audited, and a variable that a rule gets wrong is left to
automatic differentiation of the whole network.
"""

import copy
import warnings
from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from critlearn.compositions import OutputLoss
from critlearn.errors import InvalidInputError
from critlearn.fluctuations.grad_sample.audit import Audits, audited, is_audited, new_audits, wrong_variables
from critlearn.fluctuations.grad_sample.layer_gradients import LayerGradients
from critlearn.fluctuations.grad_sample.protocol import VariableGradients
from critlearn.network import NeuralSystem
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.batches.model_inputs import Inputs, in_type
from critlearn.network.checks.finiteness import NonFiniteError
from critlearn.network.checks.independence import check_whole_batch, has_own_code
from critlearn.numerics.kernels.memory import keep_freed_memory


class PerSampleGradients:
    """Gradients of single samples, batch by batch.

    Parameters
    ----------
    system
        Network, loss and data set.
    precision
        Floating-point type of the learning pass. None for double precision, but in those parts of a network of single
        precision that sum over places and do not come near the ends of its range: a batch in which one does is taken
        in double precision.
    quiet
        Do not warn of layers that have no rule, or are used in ways that theirs does not cover.
    for_sums
        Gradients are summed over samples, so that their relative errors of 1e-7 do not count: parts that do not sum
        over places are taken in single precision, too, on the same conditions.
    by_position
        Tell apart what each position of a sequence contributes to the gradients of its sample.
    only
        Names of the trainable variables whose gradients are wanted; None for all.

    Raises
    ------
    InvalidInputError
        If a trainable variable gets no gradient whatever the output errors, or the output for a sample depends on other
        samples or on chance.
    """

    def __init__(
        self,
        system: NeuralSystem,
        *,
        precision: torch.dtype | None = None,
        quiet: bool = False,
        for_sums: bool = False,
        by_position: bool = False,
        only: Collection[str] | None = None,
    ) -> None:
        keep_freed_memory()
        self.system, self._by_position = system, by_position
        self._left_out: set[str] | None = None
        self._source = LayerGradients(system, precision, quiet=quiet, for_sums=for_sums, only=only)
        self.sizes: Mapping[str, int] = {name: value.numel() for name, value in self._source.trainable.items()}
        self.differentiated = wrong_variables(self._source)
        self._own_code = has_own_code(system.model)
        self._sizes: set[int] = set()
        self._ends: set[int] = set()
        self._audits = new_audits(self._source)

    def renewed(self) -> "PerSampleGradients":
        """Gradients of the network as it is now; what was audited before is not audited again."""
        return self._from(self._source.renewed())

    def in_precision(self, precision: torch.dtype) -> "PerSampleGradients":
        """Gradients from a learning pass in another floating-point type."""
        return self._from(self._source.in_precision(precision))

    def with_displaced_numbers(self, precision: torch.dtype) -> "PerSampleGradients":
        """Gradients from a pass in a floating-point type in which every result is displaced by its rounding."""
        return self._from(self._source.with_displaced_numbers(precision))

    def with_loss(self, loss: OutputLoss) -> "PerSampleGradients":
        """Gradients of another loss of the same outputs and targets."""
        other = self._from(self._source.with_loss(loss))
        other.system = other._source.system
        return other

    def unchecked(self, x: Inputs, t: Tensor) -> Iterator[VariableGradients]:
        """Gradients for samples of a batch that has been checked for coupling."""
        other = self._from(self._source)
        other._own_code, other._audits = False, Audits(failed=self._audits.failed)
        return other.batch(x, t)

    def _from(self, source: LayerGradients) -> "PerSampleGradients":
        """Gradients from another source, with the same variables left to differentiation."""
        other = copy.copy(self)
        other._source, other.differentiated = source, set(self.differentiated)
        return other

    @property
    def precision(self) -> torch.dtype:
        """Floating-point type of the learning pass, of the finer one if there are two."""
        return self._source.learning_pass.precision

    @property
    def mixed(self) -> bool:
        """Whether parts of the network are taken in single precision."""
        return self._source.learning_pass.mixed

    @property
    def last_in_single(self) -> bool:
        """Whether the last batch was taken in single precision, where a pass has parts that may be."""
        return self._source.last_in_single

    @property
    def taken_in_single(self) -> tuple[Inputs, Tensor] | None:
        """A few samples of the first batch that was; None if none was."""
        return self._source.taken_in_single

    @property
    def layers(self) -> list[tuple[str, nn.Module]]:
        """Modules that follow one another in the pass, with their names in the network."""
        return self._source.learning_pass.named_links

    def batch(self, x: Inputs, t: Tensor, *, first: int = 0) -> Iterator[VariableGradients]:
        """Gradients of all trainable variables for a batch of boundary states, of which the first has this number.

        By position, rows are the positions of a sample, one after the other, and variables without such contributions
        are left out, with one warning.

        Raises
        ------
        InvalidInputError
            If a layer's output is not finite, outputs and targets do not fit, samples of the batch are coupled, or
            there are no positions.
        """
        return self._positions(x, t, first) if self._by_position else self._samples(x, t, first)

    def _samples(self, x: Inputs, t: Tensor, first: int) -> Iterator[VariableGradients]:
        """Gradients of whole samples."""
        # A variable whose use no rule covers is left to differentiation for this batch alone, one that a rule got wrong
        # from there on.
        apart = self.differentiated | self._audits.failed
        try:
            if len(apart) < len(self._source.trainable):
                uses = self._uses_of_checked(x, t, first)
                # Only modules of a user's own can treat a batch in another way than the samples that were audited.
                if self._source.learning_pass.foreign:
                    yield from audited(self._source, uses, x, t, apart, first, self._audits)
                else:
                    yield from self._source.by_rules(uses, apart)
            else:
                self._check_batch(x, first)
            if apart:
                yield from self._source.by_differentiation(x, t, apart)
        except NonFiniteError as problem:
            raise problem.numbered_from(first) from None

    def _positions(self, x: Inputs, t: Tensor, first: int) -> Iterator[VariableGradients]:
        """Contributions of single positions."""
        if t.dim() < 2:
            raise InvalidInputError(
                'axis="position" is about sequences: targets (sample, token), such as those of language models; got '
                f"targets of shape {tuple(t.shape)}"
            )
        apart = self.differentiated | self._audits.failed
        try:
            uses = self._uses_of_checked(x, t, first)
            if self._source.learning_pass.foreign:
                # Sums over positions are held against automatic differentiation, as they are without this axis.
                for _ in audited(self._source, uses, x, t, apart, first, self._audits):
                    pass
            yield from self._source.by_positions(uses, apart, t[0].numel())
        except NonFiniteError as problem:
            raise problem.numbered_from(first) from None
        self._note_left_out(apart)

    def _note_left_out(self, apart: set[str]) -> None:
        """Warn of variables without contributions of positions; raise if there are no others, or if they change."""
        if len(apart) == len(self._source.trainable):
            raise InvalidInputError(
                "no variable has contributions of positions: no layer acts on each position alone, or on as many as "
                "there are targets"
            )
        if self._left_out is None and apart:
            warnings.warn(
                f'{len(apart)} variables have no contributions of positions and are left out, such as "{min(apart)}": '
                "their layers do not act on each position alone, or on as many as there are targets",
                stacklevel=5,
            )
        if self._left_out is not None and apart != self._left_out:
            raise InvalidInputError(
                f'"{min(apart ^ self._left_out)}" has contributions of positions in some batches and none in others: '
                "freeze it with requires_grad_(False)"
            )
        self._left_out = apart

    def _uses_of_checked(self, x: Inputs, t: Tensor, first: int) -> list[LayerUse]:
        """Uses of the layers for a batch whose samples are not coupled."""
        outputs: list[Tensor] = []
        uses = self._source.uses(x, t, outputs)
        # Afterwards: what makes the pass impossible is said in its words.
        self._check_batch(x, first, *outputs)
        return uses

    def _check_batch(self, x: Inputs, first: int, output: Tensor | None = None) -> None:
        """Raise if samples of a batch are coupled; the first batch of each size is checked, the last, and ever fewer.

        In single precision where parts of the pass are: it takes half the time, and what it misses is less than a bin.
        ``output`` is that of the learning pass, which need not be computed again.
        """
        states = self.system.states
        # Once, also where a network is measured again and again. The length of a stream would take a pass.
        last = states.by_number and first + len(x) == len(states) and first not in self._ends
        if not self._own_code or (len(x) in self._sizes and not last and not is_audited(first, len(x))):
            return
        learning_pass = self._source.learning_pass
        precision = learning_pass.coarsest
        check_whole_batch(learning_pass.whole(precision), in_type(x, precision), output)
        self._sizes.add(len(x))
        if last:
            self._ends.add(first)
