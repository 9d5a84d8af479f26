"""Recurrent layers: dense layers over time, from inputs and from previous states."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from critlearn.fluctuations.grad_sample.materialised import Materialised
from critlearn.fluctuations.grad_sample.outer_products import OuterProducts
from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError, register, samples_first
from critlearn.network.backward.layer_use import LayerUse
from critlearn.network.exact.recurrent import State, Step, gru_step, lstm_step, relu_step, tanh_step


class RecurrentRule:
    """Rule for recurrent layers, unrolled once more to find the errors at the pre-activations of every time step."""

    layers = (nn.RNN, nn.LSTM, nn.GRU)
    covers_submodules = True

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of weights and biases of all layers and directions."""
        module = use.module
        assert isinstance(module, nn.RNNBase)
        if module.proj_size:
            raise UnsuitableUseError("projected states")
        sequence, error, inside = _padded(module, use)
        samples_first(use, sequence)
        start = use.arguments[1] if len(use.arguments) > 1 else use.keywords.get("hx")
        states = _initial(module, sequence, start)
        with torch.enable_grad():
            output, finals, passes = _unrolled(module, sequence, states, inside)
            results = [output, *finals]
            targets = [error, *use.errors[1:]]
        taps = [tap for unrolled in passes for tap in unrolled[1:3]]
        # One backward pass gives the errors at all pre-activations, of every step, layer and direction.
        errors = torch.autograd.grad(results, taps, targets)
        found: dict[str, GradSample] = {}
        for at, (suffix, _, _, inputs, previous) in enumerate(passes):
            kinds = (("ih", errors[2 * at], inputs), ("hh", errors[2 * at + 1], previous))
            for kind, error, entered in kinds:
                found[f"weight_{kind}{suffix}"] = OuterProducts(error[:, None], entered.detach()[:, None])
                found[f"bias_{kind}{suffix}"] = Materialised(error.sum(dim=1))
        return found


def _padded(module: nn.RNNBase, use: LayerUse) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sequences and output errors (sample, time, ...), and the places inside of sequences that were packed."""
    given, errors = use.arguments[0], use.errors[0]
    if not isinstance(given, PackedSequence):
        if module.batch_first:
            return given, errors, None
        return given.transpose(0, 1), errors.transpose(0, 1), None
    sequence, lengths = pad_packed_sequence(given, batch_first=True)
    error, _ = pad_packed_sequence(given._replace(data=errors), batch_first=True)
    inside = torch.arange(sequence.shape[1], device=sequence.device) < lengths.to(sequence.device)[:, None]
    return sequence, error, inside


def _step(module: nn.RNNBase) -> Step:
    if isinstance(module, nn.LSTM):
        return lstm_step
    if isinstance(module, nn.GRU):
        return gru_step
    return tanh_step if module.nonlinearity == "tanh" else relu_step


def _initial(module: nn.RNNBase, sequence: Tensor, start: Any) -> list[State]:
    """State of each layer and direction at the start, zeros if there is none."""
    number = module.num_layers * (2 if module.bidirectional else 1)
    kinds = 2 if isinstance(module, nn.LSTM) else 1
    if start is None:
        zero = sequence.new_zeros(len(sequence), module.hidden_size)
        return [(zero,) * kinds for _ in range(number)]
    parts = start if isinstance(start, tuple) else (start,)
    return [tuple(part[at] for part in parts) for at in range(number)]


def _unrolled(
    module: nn.RNNBase, sequence: Tensor, states: list[State], inside: Tensor | None
) -> tuple[Tensor, list[Tensor], list[tuple[str, Tensor, Tensor, Tensor, Tensor]]]:
    """Output, final states, and for each layer and direction: name, taps at both pre-activations, and their inputs."""
    directions = 2 if module.bidirectional else 1
    passes, finals = [], []
    for layer in range(module.num_layers):
        outputs = []
        for direction in range(directions):
            suffix = f"_l{layer}{'_reverse' if direction else ''}"
            state = states[layer * directions + direction]
            ordered = sequence.flip(1) if direction else sequence
            counted = inside.flip(1) if direction and inside is not None else inside
            unrolled, state, taps, previous = _run(module, suffix, ordered, state, counted)
            outputs.append(unrolled.flip(1) if direction else unrolled)
            finals.append(state)
            passes.append((suffix, *taps, ordered, previous))
        sequence = torch.cat(outputs, dim=2)
    return sequence, [torch.stack(part) for part in zip(*finals, strict=True)], passes


def _run(
    module: nn.RNNBase, suffix: str, sequence: Tensor, state: State, inside: Tensor | None
) -> tuple[Tensor, State, tuple[Tensor, Tensor], Tensor]:
    """Outputs, final state, taps and previous states of one layer in one direction.

    A tap is a zero that is added, so that its gradient is the error at that place.
    """
    names = (f"weight_ih{suffix}", f"weight_hh{suffix}", f"bias_ih{suffix}", f"bias_hh{suffix}")
    input_weight, state_weight, input_bias, state_bias = (getattr(module, name, None) for name in names)
    step = _step(module)
    shape = (len(sequence), sequence.shape[1], input_weight.shape[0])  # type: ignore[union-attr]
    taps = (sequence.new_zeros(shape, requires_grad=True), sequence.new_zeros(shape, requires_grad=True))
    from_input = nn.functional.linear(sequence, input_weight, input_bias) + taps[0]  # type: ignore[arg-type]
    outputs, previous = [], []
    for time in range(sequence.shape[1]):
        previous.append(state[0])
        from_state = nn.functional.linear(state[0], state_weight, state_bias) + taps[1][:, time]  # type: ignore[arg-type]
        following = step(from_input[:, time], from_state, state)
        if inside is not None:
            # Outside of its sequence a sample stays as it is: before the end, or after the beginning, if reversed.
            counts = inside[:, time, None]
            following = tuple(torch.where(counts, new, old) for new, old in zip(following, state, strict=True))
        state = following
        outputs.append(state[0])
    return torch.stack(outputs, dim=1), state, taps, torch.stack(previous, dim=1)


register(RecurrentRule())
