"""Per-sample gradients of many architectures, as they are: writes docs/architectures.md.

Each network is tiny and untrained, made from a configuration. Its gradients are held against automatic differentiation
of each sample alone in double precision, and timed beside ``vmap(grad)`` of the whole network.
"""

import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from docs_page import OneLineParser

from critlearn.whole_files import write_whole

if TYPE_CHECKING:
    from critlearn import NeuralSystem
    from critlearn.network.batches.model_inputs import Inputs

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "architectures.md"
COPIES = 10
"""Times that each sample stands in the batch that is timed."""

RUNS = 3
"""Runs of which the fastest counts."""

HEAD = """# Architectures

Networks as they are, tiny and untrained, made from their configurations and written by `python benchmarks/architectures.py`: each sample's gradients beside automatic differentiation of that sample alone, in double precision. Adapter: lines of code beside model, loss and data (a `batch=` function). By torch.func: types of layers without a rule, which are differentiated on their own. Whole network: variables that only a pass of the whole network gives. Error: largest difference in units of the variable's largest gradient. Time: processor time for the gradients of {samples} samples, in the form in which they are counted, divided by that of `vmap(grad)` of the whole network, one thread; where it refuses (lengths that differ, recurrent layers, experts), by that of a loop of one pass for each sample. Numbers below 1 are faster, and tiny networks show the cost of calls rather than of arithmetic.

| architecture | adapter | by torch.func | whole network | error | time |
| --- | --- | --- | --- | --- | --- |
"""  # noqa: E501 - one paragraph of the page

TAIL = """
Errors of about 1e-7 are those of the models: Llama, Mistral, Mixtral and Mamba take root mean squares, and Mixtral's router and Mamba's scan the rest, in single precision inside, whatever the precision of their variables. Mixtral is made with `experts_implementation="eager"`: its other kernels take no double precision, and the pass is in single precision then, which is said. Wav2Vec2's `masked_spec_embed` is frozen: without augmentation no sample uses it. T5's tables of relative positions are looked up once for all samples, in a form that cannot be told apart sample by sample.
"""  # noqa: E501 - one paragraph of the page


def sample(name: str) -> str:
    """Row of the table for one architecture."""
    import torch

    sys.path.insert(0, str(HERE.parent / "tests"))
    from critlearn import NeuralSystem
    from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
    from reference.architectures import ARCHITECTURES, SAMPLES, differences, measured_rows

    torch.set_num_threads(1)
    architecture = ARCHITECTURES[name]
    model = architecture.made()
    system = NeuralSystem(model, architecture.loss, architecture.data, batch=architecture.batch)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        gradients = PerSampleGradients(system)
    error = max(differences(architecture, model, measured_rows(gradients, SAMPLES)).values())
    x, t = next(system.boundary(SAMPLES))
    many = [*range(SAMPLES)] * COPIES
    ours = seconds(lambda: [item.grad_sample.samples for item in gradients.batch(x[many], t[many])])
    try:
        ratio = f"{ours / seconds(lambda: by_vmap(system, x[many])):.2f}"
    except (RuntimeError, ValueError, TypeError):
        ratio = f"{ours / seconds(lambda: by_loop(system, x[many])):.2f} of a loop"
    kinds = {
        found[1]
        for each in told
        if (found := re.match(r"(?:\S+\.)?(\w+)( at \S+)? has no layer rule", str(each.message)))
    }
    cells = (
        name,
        str(int(architecture.batch is not None)),
        ", ".join(f"`{kind}`" for kind in sorted(kinds)) or "none",
        f"{len(gradients.differentiated)} of {len(gradients.sizes)}" if gradients.differentiated else "none",
        f"{error:.0e}",
        ratio,
    )
    return f"| {' | '.join(cells)} |\n"


def by_vmap(system: "NeuralSystem", x: "Inputs") -> None:
    """Gradients of all variables by ``vmap(grad)`` of the whole network, for output errors of one."""
    from torch.func import functional_call, grad, vmap

    variables = {name: value.detach() for name, value in system.parameters.items()}

    def output(values, tensors):
        one = [part.unsqueeze(0) for part in tensors]
        sample = one[0] if len(one) == 1 and not hasattr(x, "tensors") else x.with_tensors(one)
        return functional_call(system.model, values, (sample,)).sum()

    vmap(grad(output), in_dims=(None, 0))(variables, getattr(x, "tensors", [x]))


def by_loop(system: "NeuralSystem", x: "Inputs") -> None:
    """Gradients of all variables by one pass of automatic differentiation for each sample."""
    import torch

    for sample in range(len(x)):
        output = system.model(x[[sample]]).sum()
        torch.autograd.grad(output, list(system.parameters.values()), allow_unused=True)


def seconds(run: Callable[[], object]) -> float:
    """Processor time of the fastest of some runs, after one that warms up."""
    run()
    taken = []
    for _ in range(RUNS):
        start = time.process_time()
        run()
        taken.append(time.process_time() - start)
    return min(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, or the row of one architecture to the standard output."""
    parser = OneLineParser(description=__doc__)
    parser.add_argument("name", nargs="?", help="one architecture, whose row is printed (all: the page is written)")
    name = parser.parse_args(arguments).name
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(HERE.parent / "tests"))
    from reference.architectures import ARCHITECTURES, SAMPLES

    if name is not None and name not in ARCHITECTURES:
        parser.error(f'no architecture "{name}"; there are {", ".join(ARCHITECTURES)}')
    if name is not None:
        print(sample(name), end="")
        return
    rows = []
    for each in ARCHITECTURES:
        rows.append(sample(each))
        print(rows[-1], end="", flush=True)
    write_whole(PAGE, (HEAD.format(samples=SAMPLES * COPIES) + "".join(rows) + TAIL).encode())


if __name__ == "__main__":
    main()
