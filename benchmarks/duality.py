"""Spectra of the duality map beside torch.func's dense Jacobian with SVD, in one run: writes docs/duality_speed.md.

Each method runs in a process of its own, the dense route once, others several times with the fastest counted. Ratios
are of CPU seconds of one thread (two for the large networks); memory is the greatest above what the network left.
The page is written when all methods have run.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from docs_page import OneLineParser

from critlearn.whole_files import write_whole

PAGE = Path(__file__).parent.parent / "docs" / "duality_speed.md"
LABELS = {
    "critlearn 1": "critlearn, one sample",
    "torch.func 1": "torch.func, dense Jacobian and SVD, one sample",
    "critlearn 256": "critlearn, 256 samples",
    "critlearn top 10, dense 10M": "critlearn, top 10 of a dense network of ten million variables",
    "critlearn top 10, conv 10M": "critlearn, top 10 of a convolutional network of ten million variables",
}
METHODS = tuple(LABELS)


def status(key: str) -> int:
    """Entry of the process's status in kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))


def small() -> tuple[Any, Any, Any]:
    """784-128-10 with tanh, softmax and probabilities as targets."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10)).double()
    x = torch.rand(256, 784, dtype=torch.float64)
    return model, x, torch.randn(256, 10, dtype=torch.float64).softmax(dim=1)


def large(kind: str) -> tuple[Any, Any, Any]:
    """Ten million parameters, dense or mostly convolutional, one picture."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if kind == "dense":
        model = nn.Sequential(nn.Linear(784, 2900), nn.Tanh(), nn.Linear(2900, 2650), nn.Tanh(), nn.Linear(2650, 10))
        return model.double(), torch.rand(1, 784, dtype=torch.float64), torch.tensor([3])
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, stride=2, padding=1), nn.Tanh()]
    for before, after in ((64, 256), (256, 512), (512, 1024)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
    layers += [nn.Flatten(), nn.Linear(4096, 900), nn.Tanh(), nn.Linear(900, 10)]
    return nn.Sequential(*layers).double(), torch.rand(1, 3, 32, 32, dtype=torch.float64), torch.tensor([3])


def dense_route(model: Any, x: Any, t: Any) -> Any:
    """Jacobian of the gradients by torch.func, and its singular values."""
    import torch
    from torch.func import functional_call, grad, jacfwd

    values = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values: Any, x: Any, t: Any) -> Any:
        return torch.nn.functional.cross_entropy(functional_call(model, values, (x[None],)), t[None])

    def changes(point: Any) -> Any:
        gradients = grad(loss)(values, point[: len(x)], point[len(x) :])
        return -torch.cat([gradient.reshape(-1) for gradient in gradients.values()])

    return torch.linalg.svdvals(jacfwd(changes)(torch.cat([x, t])))


def child(method: str) -> dict[str, Any]:
    """Run one method."""
    import torch
    from torch.utils.data import TensorDataset

    import critlearn

    torch.set_num_threads(2 if "10M" in method else 1)
    warnings.simplefilter("ignore")
    model, x, t = large("dense" if "dense" in method else "conv") if "10M" in method else small()
    phi = critlearn.DualityMap(critlearn.NeuralSystem(model, torch.nn.CrossEntropyLoss(), TensorDataset(x, t)))
    answer: dict[str, Any] = {"parameters": sum(value.numel() for value in model.parameters())}
    run: Callable[[], Any]
    repeats = 5
    if method.startswith("torch.func"):
        run, repeats = (lambda: dense_route(model, x[0], t[0])), 1
    elif method == "critlearn 1":
        run = lambda: phi.jacobian(x[0], t[0]).singular_values()  # noqa: E731
    elif method == "critlearn 256":
        run, repeats = (lambda: phi.spectra(x, t)), 3
    else:
        run, repeats = (lambda: phi.jacobian(x[0], t[0]).top_singular_values(10)), 1
    if repeats > 1:
        phi.spectra(x[:4], t[:4])
    Path("/proc/self/clear_refs").write_text("5")
    before, seconds, wall, values = status("VmRSS"), [], [], None
    for _ in range(repeats):
        started, clock = time.process_time(), time.perf_counter()
        values = run()
        seconds.append(time.process_time() - started)
        wall.append(time.perf_counter() - clock)
    answer |= {"seconds": min(seconds), "wall": min(wall), "megabytes": (status("VmHWM") - before) / 1024}
    if method.endswith(" 1"):
        answer["values"] = values.tolist()
    return answer


INTRODUCTION = """# Speed of spectra of the duality map

CPU seconds and wall clock, each method in a process of its own; on cores that other programs share wall clock is longer
by as much as these take. One thread, two for the large networks; the dense route once, others several times with the
fastest counted. Memory is the greatest above what the loaded network left.

Made by `python benchmarks/duality.py`.
"""


def page(found: dict[str, dict[str, Any]]) -> str:
    """Introduction and tables."""
    one, dense, many = found["critlearn 1"], found["torch.func 1"], found["critlearn 256"]
    extrapolated = 256 * dense["seconds"]
    worst = max(abs(a - b) for a, b in zip(one["values"], dense["values"], strict=True)) / dense["values"][0]
    lines = [INTRODUCTION, "| method | CPU seconds | wall clock | memory, MB |", "| --- | --- | --- | --- |"]
    lines += [
        f"| {LABELS[name]} | {row['seconds']:.3f} | {row['wall']:.3f} | {row['megabytes']:.0f} |"
        for name, row in found.items()
    ]
    lines += ["", "| 784-128-10, full spectrum | measured | goal |", "| --- | --- | --- |"]
    lines += [
        f"| one sample, times faster than the dense route | {dense['seconds'] / one['seconds']:.0f} | at least 100 |",
        f"| 256 samples, CPU seconds | {many['seconds']:.2f} | about 1 |",
        f"| 256 samples by the dense route, extrapolated | {extrapolated / 60:.0f} min | |",
        f"| memory of one sample, of the dense route's | {one['megabytes'] / dense['megabytes']:.4f} | under 0.05 |",
        f"| memory of 256 samples, likewise | {many['megabytes'] / dense['megabytes']:.4f} | under 0.05 |",
        f"| largest difference of singular values, of the largest | {worst:.1e} | 1e-10 |",
    ]
    lines += ["", "| top 10 singular values | variables | CPU seconds | wall clock | goal |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for kind in ("dense", "conv"):
        row = found[f"critlearn top 10, {kind} 10M"]
        lines.append(f"| {kind} | {row['parameters']:,} | {row['seconds']:.1f} | {row['wall']:.1f} | under 10 s |")
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all methods and write the page, or one method; 1 if one fails."""
    parser = OneLineParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--child", metavar="METHOD", help="run one method in this process and print its result; no page is written"
    )
    method = parser.parse_args(arguments).child
    if method is not None:
        if method not in METHODS:
            parser.error(f'unknown method "{method}"; allowed: {"; ".join(METHODS)}')
        print(json.dumps(child(method)))
        return 0
    results: dict[str, dict[str, Any]] = {}
    for name in METHODS:
        done = subprocess.run([sys.executable, __file__, "--child", name], capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or [f"stopped by signal {-done.returncode}"])[-1]
            print(f"{name} does not run: {reason}; the page stays as it is", file=sys.stderr)
            return 1
        results[name] = json.loads(done.stdout)
        shown = {key: value for key, value in results[name].items() if key != "values"}
        print(name, shown, flush=True)
    write_whole(PAGE, page(results).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
