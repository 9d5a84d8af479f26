"""Recurrent layers of torch, step by step, with gates that keep their tails where they saturate."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from critlearn.network.modules import ActivationModule

_tanh: Final = ActivationModule("tanh")
_sigmoid: Final = ActivationModule("sigmoid")
"""Activations whose derivatives keep their tails, which torch's own round to zero where units saturate."""

State = tuple[Tensor, ...]
Step = Callable[[Tensor, Tensor, State], State]
"""From the two pre-activations (of input and of previous state) and the previous state to the next one."""


def lstm_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Gates in torch's order: input, forget, cell, output."""
    entry, forget, cell, output = (from_input + from_state).chunk(4, dim=-1)
    memory = _sigmoid(forget) * state[1] + _sigmoid(entry) * _tanh(cell)
    return _sigmoid(output) * _tanh(memory), memory


def gru_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Gates in torch's order: reset, update, new; the reset gate acts behind the state's own dense layer."""
    (reset, update, new), (reset_state, update_state, new_state) = from_input.chunk(3, -1), from_state.chunk(3, -1)
    gate = update + update_state
    candidate = _tanh(new + _sigmoid(reset + reset_state) * new_state)
    # Not `1 - sigmoid(gate)`, which is 0 where the gate saturates.
    return (_sigmoid(-gate) * candidate + _sigmoid(gate) * state[0],)


def tanh_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Next state of a plain recurrent layer."""
    return (_tanh(from_input + from_state),)


def relu_step(from_input: Tensor, from_state: Tensor, state: State) -> State:
    """Next state of a recurrent layer with ReLU."""
    return (torch.relu(from_input + from_state),)


def exact_layers(step: Step) -> Callable[..., Any]:
    """Exact form of ``torch.lstm``, ``torch.gru`` or ``torch.rnn_tanh``.

    It gives `NotImplemented` for packed sequences, projected states and dropout.
    """
    several = step is lstm_step

    def layers(sequence: Tensor, start: Any, weights: Any, *settings: Any) -> Any:
        if isinstance(start, Tensor) is several or isinstance(weights, Tensor) or len(settings) != 6:
            return NotImplemented
        biases, number, dropout, training, bidirectional, batch_first = settings
        directions = 2 if bidirectional else 1
        each = 4 if biases else 2
        if (dropout and training) or len(weights) != number * directions * each:
            return NotImplemented
        states = tuple(start) if several else (start,)
        values = sequence.transpose(0, 1) if batch_first else sequence
        finals = []
        for layer in range(number):
            outputs = []
            for direction in range(directions):
                at = layer * directions + direction
                own = weights[at * each : (at + 1) * each]
                state = tuple(part[at] for part in states)
                found, state = _run(step, values.flip(0) if direction else values, state, own)
                outputs.append(found.flip(0) if direction else found)
                finals.append(state)
            values = torch.cat(outputs, dim=-1) if bidirectional else outputs[0]
        output = values.transpose(0, 1) if batch_first else values
        return output, *(torch.stack(part) for part in zip(*finals, strict=True))

    return layers


def _run(step: Step, sequence: Tensor, state: State, weights: Sequence[Tensor]) -> tuple[Tensor, State]:
    """Outputs of one layer in one direction, for a sequence with time in its first dimension; and its final state."""
    biases = weights[2:] or (None, None)
    outputs = []
    for from_input in functional.linear(sequence, weights[0], biases[0]):
        state = step(from_input, functional.linear(state[0], weights[1], biases[1]), state)
        outputs.append(state[0])
    return torch.stack(outputs), state


def exact_cell(step: Step) -> Callable[..., Any]:
    """Exact form of ``torch.lstm_cell``, ``torch.gru_cell`` or ``torch.rnn_tanh_cell``."""

    def cell(
        x: Tensor,
        state: Any,
        input_weight: Tensor,
        state_weight: Tensor,
        input_bias: Tensor | None = None,
        state_bias: Tensor | None = None,
    ) -> Any:
        several = step is lstm_step
        states = tuple(state) if several else (state,)
        from_state = functional.linear(states[0], state_weight, state_bias)
        found = step(functional.linear(x, input_weight, input_bias), from_state, states)
        return found if several else found[0]

    return cell
