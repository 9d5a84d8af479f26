"""Random graphs through certificate and measurement, and losses at logits to +-700: writes ``docs/random_graphs.md``.

python validation/random_graphs.py
"""

import itertools
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import TensorDataset

from critlearn import Composition, DualityMap, NeuralSystem, analyze, certify, measure
from critlearn.compositions import ACTIVATIONS, LOSSES, OutputLoss, SoftmaxCrossEntropy
from critlearn.duality.jacobian.output_response import output_response
from critlearn.errors import InvalidInputError
from critlearn.inverse_design import BiTemperedLogistic, TemperedSoftmax, design
from critlearn.network import BulkBoundaryNetwork
from critlearn.whole_files import write_whole

PAGE = Path(__file__).resolve().parent.parent / "docs" / "random_graphs.md"
GRAPHS = 200
SAMPLES = 60
UNROLLED = 2000
"""Steps of the pass that gradients are held against: at a rate of 0.98 a step, 1e-17 is left."""

TRAINED = 40
TRAINED_SAMPLES = 300
TRAINING_STEPS = 200
KINDS = ("tanh", "sigmoid", "softsign", "arctan", "relu")
HEADER = f"""# Random graphs, and losses far out

{GRAPHS} graphs of 4 to 9 neurons with 4 in 10 of all edges, cycles and self-loops among them, weights 1 to 2.5 times
as large as torch draws them, a third in single precision, {SAMPLES} samples each. Where every sample has a fixed point,
the graph is certified and measured, and its gradients at a sample are held, in units of the largest, against those of
the pass unrolled for {UNROLLED} steps by automatic differentiation; where some sample has none, `measure` says so.

Made by `python validation/random_graphs.py` (part of `make validate`).

| activation | graphs | fixed points | certificates | measured | error in double | error in single | others refused |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""
TRAINING = f"""
{TRAINED} of these graphs in double precision after {TRAINING_STEPS} steps of Adam at a rate of 0.01 on
{TRAINED_SAMPLES} samples: *trained* where the pass has a fixed point for every sample in each step, else training ends
with the refusal. `analyze` then certifies, measures, fits and predicts them. *Whole certificates* leave out no
curvature; of states that drift none is needed. Seconds are those of `analyze`, on the processor.

| activation | graphs | trained | analysed | whole certificates | at equilibrium | measured | mean seconds | slowest |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""
LOGITS = """
Losses at logits from -700 to 700, in both precisions: values, gradients and second derivatives that are not finite. Of
tempered losses, all pairs of temperatures of a grid, with 2, 3 and 5 classes.

| losses | how many | values and derivatives | not finite |
| --- | --- | --- | --- |
"""


def random_graph(seed: int, generator: torch.Generator, dtype: torch.dtype | None = None) -> BulkBoundaryNetwork:
    """Graph whose first neuron is the input and whose last one is the output."""
    neurons = int(torch.randint(4, 10, (), generator=generator))
    mask = torch.rand(neurons, neurons, generator=generator) < 0.4
    mask[:, 0] = False
    mask[0, 1] = mask[1, -1] = True
    graph = BulkBoundaryNetwork(
        neurons,
        mask.nonzero().T,
        inputs=[0],
        outputs=[neurons - 1],
        activations=KINDS[seed % len(KINDS)],
        seed=seed,
        dtype=dtype or (torch.float64 if seed % 3 else torch.float32),
    )
    with torch.no_grad():
        graph.weight.mul_(1 + 1.5 * float(torch.rand((), generator=generator)))
    return graph


def gradient_error(graph: BulkBoundaryNetwork, system: NeuralSystem, x: torch.Tensor, t: torch.Tensor) -> float:
    """Largest difference from the gradient of the unrolled pass, in units of the largest entry."""
    kind = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "softsign": lambda y: y / (1 + y.abs()),
        "arctan": lambda y: 2 / torch.pi * torch.atan(y),
    }[getattr(getattr(graph.activations[0], "activation", None), "name", "relu")]
    weight, bias = (value.detach().double().requires_grad_() for value in (graph.weight, graph.bias))
    matrix = torch.zeros(graph.neurons, graph.neurons, dtype=torch.float64)
    matrix = matrix.index_put((graph.edges[1], graph.edges[0]), weight)[1:]
    state = torch.zeros(graph.neurons - 1, dtype=torch.float64)
    for _ in range(UNROLLED):
        state = kind(matrix @ torch.cat([x.double(), state]) + bias)
    y = (matrix @ torch.cat([x.double(), state]) + bias)[-1]
    expected = torch.cat(torch.autograd.grad(torch.nn.functional.softplus(-t[0] * y), (weight, bias)))
    changes = DualityMap(system)(x[None], t[None])
    found = -torch.cat([changes[name][0].double().flatten() for name in ("weight", "bias")])
    return float((found - expected).abs().max() / expected.abs().max())


def graph_rows() -> list[str]:
    """A line for each activation."""
    table = {kind: [0, 0, 0, 0, 0.0, 0.0, 0] for kind in KINDS}
    warnings.filterwarnings("ignore", message=".*has no layer rule")
    for seed in range(GRAPHS):
        generator = torch.Generator().manual_seed(seed)
        graph, row = random_graph(seed, generator), table[KINDS[seed % len(KINDS)]]
        t = torch.where(torch.rand(SAMPLES, 1, generator=generator) < 0.5, 1.0, -1.0).to(graph.weight.dtype)
        x = 0.7 * t + torch.randn(SAMPLES, 1, generator=generator).to(t)
        settled = {status.value for status in graph.activation_pass(x).statuses} == {"fixed point"}
        row[0] += 1
        row[1] += settled
        try:
            system = NeuralSystem(graph, Composition("sigmoid", "bce"), TensorDataset(x, t))
            count = measure(system)["all"].count
        except InvalidInputError as refusal:
            row[6] += not settled and "no fixed point" in str(refusal)
            if settled:
                print(f"graph {seed}: {refusal}")
            continue
        row[3] += count == SAMPLES * (graph.weight.numel() + graph.bias.numel())
        row[2] += bool(certify(system).status)
        column = 4 if graph.weight.dtype == torch.float64 else 5
        row[column] = max(row[column], gradient_error(graph, system, x[0], t[0]))
        print(f"graph {seed}: {row}", flush=True)
    return [
        f"| {kind} | {' | '.join(map(str, row[:4]))} | {row[4]:.1e} | {row[5]:.1e} | {row[6]} of {row[0] - row[1]} |\n"
        for kind, row in table.items()
    ]


def trained(graph: BulkBoundaryNetwork, x: torch.Tensor, t: torch.Tensor) -> bool:
    """Whether a training with the whole set in each step goes to its end."""
    loss, optimizer = Composition("sigmoid", "bce"), torch.optim.Adam(graph.parameters(), lr=0.01)
    try:
        for _ in range(TRAINING_STEPS):
            optimizer.zero_grad()
            loss.value(graph(x), t).mean().backward()
            optimizer.step()
        graph(x)
    except InvalidInputError:
        return False
    return True


def trained_rows() -> list[str]:
    """A line for each activation."""
    table = {kind: [0] * 6 for kind in KINDS}
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for seed in range(TRAINED):
        kind, generator = KINDS[seed % len(KINDS)], torch.Generator().manual_seed(seed)
        row, graph = table[kind], random_graph(seed, generator, torch.float64)
        t = torch.where(torch.rand(TRAINED_SAMPLES, 1, generator=generator) < 0.5, 1.0, -1.0).double()
        x = 0.7 * t + torch.randn(TRAINED_SAMPLES, 1, generator=generator).double()
        row[0] += 1
        if not trained(graph, x, t):
            continue
        row[1] += 1
        begun = time.process_time()
        try:
            found = analyze(graph, Composition("sigmoid", "bce"), TensorDataset(x, t))
        except InvalidInputError as refusal:
            print(f"trained graph {seed}: {refusal}")
            continue
        finally:
            seconds[kind].append(time.process_time() - begun)
        row[2] += 1
        row[3] += "curvature" not in found.record["equilibrium"]["left_out"]
        row[4] += found.certified
        row[5] += found.fluctuations["all"].count == TRAINED_SAMPLES * (graph.weight.numel() + graph.bias.numel())
        print(
            f"trained graph {seed}: {row}, {seconds[kind][-1]:.1f} s, {found.record['equilibrium']['reason']}",
            flush=True,
        )
    return [
        f"| {kind} | {' | '.join(map(str, row))} | {np.mean(seconds[kind]):.1f} | {max(seconds[kind]):.1f} |\n"
        for kind, row in table.items()
    ]


def logit_rows() -> list[str]:
    """A line for each family of losses."""
    grid = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0, 1.3, 1.5, 1.9)
    others = (0.05, 0.3, 0.5, 0.7, 0.9, 0.999999, 1.0, 1 + 1e-9, 1.3, 1.5, 2.0, 2.5, 3.0)
    families: dict[str, list[OutputLoss]] = {
        "tempered softmax": [TemperedSoftmax(q) for q in others],
        "bi-tempered logistic": [BiTemperedLogistic(t1, t2) for t1, t2 in itertools.product(grid, others) if t1 <= t2],
        "softmax with cross-entropy": [SoftmaxCrossEntropy()],
        "losses of the margin": [design(q).output_loss for q in np.linspace(-2, 3, 21)],
        "compositions of the catalogue": [
            Composition(activation, loss)
            for activation in ACTIVATIONS.values()
            for loss in LOSSES.values()
            if activation.bounded or not loss.needs_saturation
        ],
    }
    rows = []
    for name, losses in families.items():
        numbers = bad = 0
        for loss, dtype in itertools.product(losses, (torch.float64, torch.float32)):
            for y, t in states(loss, dtype):
                response = output_response(loss, y, t)
                parts = [loss.value(y, t), loss.output_error(y, t), response.error, response.by_output]
                numbers += sum(part.numel() for part in parts)
                bad += sum(int((~torch.isfinite(part)).sum()) for part in parts)
        rows.append(f"| {name} | {len(losses)} | {numbers:,} | {bad} |\n")
    return rows


def states(loss: OutputLoss, dtype: torch.dtype) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of outputs and targets."""
    if not loss.class_targets:
        y = torch.linspace(-700, 700, 281, dtype=dtype)[:, None]
        return [(y, torch.full_like(y, target)) for target in (-1.0, 1.0)]
    generator, found = torch.Generator().manual_seed(0), []
    for classes in (2, 3, 5):
        y = (2 * torch.rand(20, classes, generator=generator, dtype=torch.float64) - 1) * torch.logspace(0, 2.845, 20)[
            :, None
        ]
        y[0], y[1, 0], y[2, -1] = 0.0, 700.0, -700.0
        found.append((y.to(dtype), torch.arange(20) % classes))
    return found


def main() -> None:
    """Write the page."""
    begun = time.perf_counter()
    write_whole(PAGE, "".join([HEADER, *graph_rows(), TRAINING, *trained_rows(), LOGITS, *logit_rows()]).encode())
    print(f"{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
