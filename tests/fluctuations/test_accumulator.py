"""What is declared is measured: units, single samples, series, mini-batches, changes without drift; stop and go on."""

import errno
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from critlearn.errors import DataError, InvalidInputError, OutputError
from critlearn.fluctuations import Fluctuations, Quantities, load_fluctuations, measure, save_fluctuations
from critlearn.fluctuations.checkpoint.state import Checkpoint
from critlearn.network import NeuralSystem
from reference.plain_gradients import assert_same_counts, plain_gradients

SAMPLES, RATE = 12, 0.5


def _model() -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv1d(2, 4, 2, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)
    ).double()


def _data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(SAMPLES, 2, 3, dtype=torch.float64, generator=generator)
    return x, torch.randint(3, (SAMPLES,), generator=generator)


@pytest.fixture
def model() -> nn.Sequential:
    return _model()


@pytest.fixture
def system(model: nn.Sequential) -> NeuralSystem:
    return NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(*_data()))


@pytest.fixture
def plain(model: nn.Sequential) -> dict[str, np.ndarray]:
    gradients = plain_gradients(model, nn.CrossEntropyLoss(), *_data())
    return {name: RATE * values for name, values in gradients.items()}


def test_layers_and_all_pool_their_variables(system: NeuralSystem) -> None:
    fluctuations = measure(system, lr=RATE)
    assert set(fluctuations) == {*system.parameters, "0", "3", "5", "all"}
    assert fluctuations["3"] == fluctuations["3.weight"].merge(fluctuations["3.bias"])
    assert fluctuations["all"].count == SAMPLES * sum(value.numel() for value in system.parameters.values())


@pytest.mark.parametrize("name", ["0.weight", "3.weight", "5.bias"])
def test_units_are_counted_apart(system: NeuralSystem, plain: dict[str, np.ndarray], name: str) -> None:
    fluctuations = measure(system, batch_size=5, lr=RATE, groups=2, quantities=Quantities(units=(name,)), exact=True)
    units = len(system.parameters[name])
    for unit, values in enumerate(np.split(plain[name], units, axis=1)):
        assert_same_counts(fluctuations[f"{name}[{unit}]"], values, 2)
    assert fluctuations.axis("5.bias") == "samples x variables"


def test_a_single_sample_is_distributed_over_variables(system: NeuralSystem, plain: dict[str, np.ndarray]) -> None:
    fluctuations = measure(system, batch_size=5, lr=RATE, groups=1, quantities=Quantities(samples=(0, 7)), exact=True)
    pooled = np.concatenate([values[7] for values in plain.values()])
    assert_same_counts(fluctuations["all[sample 7]"], pooled[None], 1)
    assert fluctuations.axis("all[sample 7]") == "variables"


def test_series_are_exact_and_reproducible(system: NeuralSystem, plain: dict[str, np.ndarray]) -> None:
    quantities = Quantities(series=30, seed=4)
    series = measure(system, batch_size=5, lr=RATE, quantities=quantities).series
    assert sum(len(index) for index in series.entries.values()) == 30
    for name, index in series.entries.items():
        np.testing.assert_allclose(series.values(name), -plain[name][:, index], rtol=1e-9, atol=1e-18)
    again = measure(system, batch_size=7, lr=RATE, quantities=quantities).series
    assert {name: index.tolist() for name, index in again.entries.items()} == {
        name: index.tolist() for name, index in series.entries.items()
    }
    default = Quantities(series=True, seed=4)
    assert sum(len(index) for index in default.chosen({"a": 3000, "b": 10}).values()) == 1000
    named = measure(system, quantities=Quantities(series={"5.bias": (2, 0)})).series
    np.testing.assert_allclose(named.values("5.bias"), -plain["5.bias"][:, [2, 0]] / RATE, rtol=1e-9)


@pytest.mark.parametrize("batch_size", [3, 8])
def test_mean_of_mini_batches(system: NeuralSystem, plain: dict[str, np.ndarray], batch_size: int) -> None:
    quantities = Quantities(mini_batch=4)
    fluctuations = measure(system, batch_size=batch_size, lr=RATE, groups=2, quantities=quantities, exact=True)
    assert fluctuations.samples == SAMPLES // 4
    for name, values in plain.items():
        assert_same_counts(fluctuations[name], values.reshape(-1, 4, values.shape[1]).mean(axis=1), 2)


def test_drift_is_removed(system: NeuralSystem, plain: dict[str, np.ndarray]) -> None:
    quantities = Quantities(without_drift=True)
    fluctuations = measure(system, batch_size=5, lr=RATE, groups=2, quantities=quantities, exact=True)
    for name, values in plain.items():
        frozen = (values == 0).all(axis=0)
        centred = values - values.mean(axis=0)
        # A difference of nearly equal numbers may be rounding error: only there both may disagree.
        assert (np.abs(centred[:, ~frozen]) > 1e-15).all()
        assert_same_counts(fluctuations[name], np.where(frozen, 0.0, centred), 2)


def test_rate_multiplies_every_fluctuation(system: NeuralSystem) -> None:
    one, eight = measure(system, exact=True), measure(system, lr=8.0, exact=True)
    for name in system.parameters:
        assert np.array_equal(one[name].counts, eight[name].counts)
        assert eight[name].edges[0] == pytest.approx(one[name].edges[0] + math.log(8), abs=1e-9)


def test_batches_do_not_matter(system: NeuralSystem) -> None:
    assert measure(system, batch_size=5)["all"] == measure(system, batch_size=12)["all"]


class _Stops(Dataset):  # type: ignore[type-arg]
    """Data that fail at one sample, from when it is told."""

    def __init__(self) -> None:
        self.x, self.targets = _data()
        self.at = -1

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if index == self.at:
            raise KeyboardInterrupt
        return self.x[index], self.targets[index]


def test_an_interrupted_measurement_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("critlearn.fluctuations.checkpoint.state._EVERY", 0.0)
    data, path = _Stops(), tmp_path / "state.npz"
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), data)
    quantities = Quantities(series=10)

    def stop_at_eight(done: int, _: int) -> None:
        data.at = 8

    with pytest.raises(KeyboardInterrupt):
        measure(system, batch_size=3, checkpoint=path, quantities=quantities, progress=stop_at_eight)
    assert load_fluctuations(path).samples == 6
    seen = []
    data.at = -1
    resumed = measure(
        system, batch_size=3, checkpoint=path, quantities=quantities, progress=lambda done, _: seen.append(done)
    )
    assert seen[0] == 9
    assert not path.exists()
    whole = measure(system, quantities=quantities)
    assert all(resumed[name] == whole[name] for name in whole)
    for name in whole.series.entries:
        np.testing.assert_allclose(resumed.series.log_size[name], whole.series.log_size[name], rtol=1e-12)


def test_two_processes_do_not_measure_into_one_checkpoint(tmp_path: Path) -> None:
    path, told = tmp_path / "state.npz", []
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), TensorDataset(*_data()))

    def another(done: int, _: int) -> None:
        # The system locks what was opened, by whichever process: a second call here is what another process would be.
        told.append(_refusal(path))

    measure(system, batch_size=SAMPLES, checkpoint=path, progress=another)
    assert told == [f'another process is measuring into "{path}": name another file']
    assert not list(tmp_path.iterdir())


def _refusal(path: Path) -> str:
    """What a measurement into a checkpoint is told."""
    with pytest.raises(OutputError) as told:
        measure(NeuralSystem(_model(), nn.CrossEntropyLoss(), TensorDataset(*_data())), checkpoint=path)
    return str(told.value)


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EROFS, errno.EFBIG], ids=["full", "read-only", "too large"])
def test_a_measurement_goes_on_where_its_state_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: int
) -> None:
    monkeypatch.setattr("critlearn.fluctuations.checkpoint.state._EVERY", 0.0)
    data, path = TensorDataset(*_data()), tmp_path / "state.npz"
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), data)

    def half(file: Any, **_: object) -> None:
        file.write(b"half")
        raise OSError(reason, os.strerror(reason))

    def fill(done: int, _: int) -> None:
        assert load_fluctuations(path).samples == 3
        monkeypatch.setattr(np, "savez_compressed", half)

    with pytest.warns(UserWarning, match=f"goes on, .* as old as before: .*{os.strerror(reason)}"):
        found = measure(system, batch_size=3, checkpoint=path, progress=fill)
    assert dict(found) == dict(measure(system, batch_size=3))
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_in_a_folder_that_takes_no_files_is_refused_before_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(self: FileLock, **_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(FileLock, "acquire", read_only)
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), TensorDataset(*_data()))
    with pytest.raises(OutputError, match=r"cannot write the checkpoint .*Read-only"):
        measure(system, checkpoint=tmp_path / "state.npz", progress=lambda *_: pytest.fail("it counted"))


@pytest.mark.parametrize("sample", [1, 10])
def test_a_single_sample_before_or_after_the_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plain: dict[str, np.ndarray], sample: int
) -> None:
    monkeypatch.setattr("critlearn.fluctuations.checkpoint.state._EVERY", 0.0)
    data, path = _Stops(), tmp_path / "state.npz"
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), data)

    def stop_at_eight(done: int, _: int) -> None:
        data.at = 8

    def go(progress: Callable[[int, int], None] | None) -> Fluctuations:
        quantities = Quantities(samples=(sample,))
        return measure(
            system,
            batch_size=3,
            lr=RATE,
            groups=1,
            checkpoint=path,
            quantities=quantities,
            exact=True,
            progress=progress,
        )

    with pytest.raises(KeyboardInterrupt):
        go(stop_at_eight)
    data.at = -1
    resumed = go(None)
    pooled = np.concatenate([values[sample] for values in plain.values()])
    assert_same_counts(resumed[f"all[sample {sample}]"], pooled[None], 1)
    assert resumed["all"].count == SAMPLES * pooled.size


def _part(start: int, stop: int, **settings: object) -> Fluctuations:
    x, t = _data()
    system = NeuralSystem(_model(), nn.CrossEntropyLoss(), TensorDataset(x[start:stop], t[start:stop]))
    return measure(system, lr=RATE, exact=True, **settings)  # type: ignore[arg-type]


def test_parts_with_single_samples_are_joined(plain: dict[str, np.ndarray]) -> None:
    chosen = Quantities(samples=(2,))
    earlier, later = _part(0, 6, groups=1, quantities=chosen), _part(6, 12, groups=1, quantities=chosen)
    for parts, sample in (((earlier, _part(6, 12, groups=1)), 2), ((_part(0, 6, groups=1), later), 8)):
        joined = parts[0].merge(parts[1])
        pooled = np.concatenate([values[sample] for values in plain.values()])
        assert_same_counts(joined["all[sample 2]"], pooled[None], 1)
        assert joined.samples == SAMPLES
    with pytest.raises(InvalidInputError, match="two samples are not one"):
        earlier.merge(later)


def test_parts_of_few_samples_are_joined(plain: dict[str, np.ndarray]) -> None:
    """Seven samples make seven groups and five make five: samples 7 to 11 join groups 0 to 4."""
    for parts in ((_part(0, 7), _part(7, 12)), (_part(7, 12), _part(0, 7))):
        joined = parts[0].merge(parts[1])
        assert joined.samples == SAMPLES
        for name, values in plain.items():
            assert_same_counts(joined[name], values, 7)


def test_the_state_of_another_measurement_is_refused(tmp_path: Path, system: NeuralSystem) -> None:
    path = tmp_path / "state.npz"
    save_fluctuations(path, measure(system).marked("another"))
    with pytest.raises(DataError, match="another measurement"):
        measure(system, checkpoint=path)
    assert Checkpoint(None, "", 1).load() == (None, 0)


class _Written(Dataset):  # type: ignore[type-arg]
    """Data that are no tensors, all samples at hand only one by one."""

    def __init__(self, changed: int | None = None) -> None:
        self.inputs, self.targets = _data()
        if changed is not None:
            self.inputs[changed] += 1.0

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.targets[index]


class _Own(nn.Module):
    """Two networks of the same name, weights and parts that compute differently."""

    def __init__(self, power: int) -> None:
        super().__init__()
        self.inner, self.power = _model(), power

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) ** self.power


def _frozen(value: float) -> nn.Sequential:
    model = _model()
    with torch.no_grad():
        model[3].bias.fill_(value)
    model[3].bias.requires_grad_(False)
    return model


def _normalised(mean: float) -> nn.Sequential:
    model = nn.Sequential(*_model(), nn.BatchNorm1d(3)).double().eval()
    model[6].running_mean.fill_(mean)
    return model


def _changed_at(sample: int) -> TensorDataset:
    x, t = _data()
    x[sample] += 1.0
    return TensorDataset(x, t)


def _with(at: int, module: nn.Module) -> nn.Sequential:
    model = _model()
    model[at] = module
    return model


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({}, {"model": _with(1, nn.Sigmoid())}, id="activation"),
        pytest.param({"model": _with(4, nn.LeakyReLU(0.1))}, {"model": _with(4, nn.LeakyReLU(0.2))}, id="slope"),
        pytest.param({"model": _Own(1)}, {"model": _Own(3)}, id="plain attribute"),
        pytest.param({"model": _frozen(0.1)}, {"model": _frozen(0.2)}, id="frozen weights"),
        pytest.param({"model": _normalised(0.1)}, {"model": _normalised(0.2)}, id="buffers"),
        pytest.param({}, {"exact": True}, id="exact"),
        pytest.param({}, {"precision": torch.float32}, id="precision"),
        pytest.param({}, {"data": _changed_at(9)}, id="tensors"),
        pytest.param({"data": _Written()}, {"data": _Written(changed=6)}, id="samples in the middle"),
        pytest.param({"data": _Written()}, {"data": _Written(changed=11)}, id="last sample"),
        pytest.param({"loss": nn.HuberLoss(delta=0.5)}, {"loss": nn.HuberLoss(delta=1.0)}, id="parameter of the loss"),
    ],
)
def test_a_state_goes_on_with_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: dict[str, object], other: dict[str, object]
) -> None:
    monkeypatch.setattr("critlearn.fluctuations.checkpoint.state._EVERY", 0.0)
    path = tmp_path / "state.npz"

    def go(
        model: nn.Module | None = None, loss: nn.Module | None = None, data: Dataset | None = None, **settings: object
    ) -> None:
        x, t = _data()
        if loss is not None:
            t = nn.functional.one_hot(t, 3).double()
        given = data or TensorDataset(x, t)
        system = NeuralSystem(model or _model(), loss or nn.CrossEntropyLoss(), given)
        measure(system, batch_size=4, checkpoint=path, **settings)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        # The state stays where it is, as if the last batch had been interrupted.
        patch.setattr(Checkpoint, "remove", lambda self: None)
        go(**one)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="another measurement"):
        go(**other)  # type: ignore[arg-type]
    go(**one)  # type: ignore[arg-type]


def test_stored_fluctuations_come_back(tmp_path: Path, system: NeuralSystem) -> None:
    measured = measure(system, quantities=Quantities(series=5, units=("3.weight",)))
    save_fluctuations(tmp_path / "f.npz", measured)
    loaded = load_fluctuations(tmp_path / "f.npz")
    assert all(loaded[name] == measured[name] for name in measured)
    assert loaded.variables == measured.variables
    for name in measured.series.entries:
        assert np.array_equal(loaded.series.log_size[name], measured.series.log_size[name])


@pytest.mark.parametrize(
    ("quantities", "message"),
    [
        ({"units": ("3.wieght",)}, 'did you mean "3.weight"'),
        ({"series": {"5.bias": (3,)}}, "numbered 0..2"),
        ({"samples": (12,)}, "numbered 0..11"),
        ({"mini_batch": 13}, "not fill one mini-batch"),
        ({"mini_batch": 0}, "at least one sample"),
        ({"series": -1}, "must not be negative"),
        ({"samples": (-1,)}, "counted from 0"),
    ],
)
def test_bad_declarations_are_refused(system: NeuralSystem, quantities: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        measure(system, quantities=Quantities(**quantities))  # type: ignore[arg-type]


def test_parameters_without_gradient_are_refused() -> None:
    model = _model()
    model.register_parameter("unused", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(*_data()))
    with pytest.raises(InvalidInputError, match='"unused" gets no gradient'):
        measure(system)


def test_hidden_output_that_is_not_finite_is_located() -> None:
    x, t = _data()
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    x[7] = 1e308
    with torch.no_grad():
        model[1].weight.fill_(100.0)
    system = NeuralSystem(model, nn.CrossEntropyLoss(), TensorDataset(x, t))
    # The activation hides the overflow: the network's output is finite.
    for quantities in (Quantities(), Quantities(without_drift=True)):
        with pytest.raises(InvalidInputError, match=r'layer "1" \(Linear\) is not finite at sample 7, counted from 0'):
            measure(system, batch_size=5, quantities=quantities)
