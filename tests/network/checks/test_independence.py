"""A network whose output for a sample depends on other samples, or on chance, is refused by the module that does it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.network import NeuralSystem
from critlearn.network.checks.independence import check_independence, check_whole_batch, has_own_code
from reference.networks import classes, seeded


class Centred(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return y - y.mean(0)


class Faintly(nn.Module):
    """A coupling of one part in a million."""

    def forward(self, y: Tensor) -> Tensor:
        return y - 1e-6 * y.mean(0).detach()


class Scaled(nn.Module):
    """Not a number for a single sample."""

    def forward(self, y: Tensor) -> Tensor:
        return y / y.std(0)


class Ordered(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return y * torch.sign(y[:1])


class NextOne(nn.Module):
    """Takes batches of two and more, and is wrong about the last sample only."""

    def forward(self, y: Tensor) -> Tensor:
        if len(y) < 2:
            raise RuntimeError("too few")
        return torch.cat([y[:-1], y[-1:] + y[-2:-1]])


class Noisy(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return y + torch.randn_like(y)


class ForgottenDropout(nn.Module):
    def forward(self, y: Tensor) -> Tensor:
        return nn.functional.dropout(y, 0.4)


class Outside(nn.Module):
    """Couples samples in its own ``forward``, between modules that do not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.last(y - y.mean(0))


class Transposed(nn.Module):
    """Attention with the samples in the second dimension: they do not meet."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        return self.attention(x, x, x, need_weights=False)[0].transpose(0, 1)


def _system(*inside: nn.Module) -> NeuralSystem:
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Tanh(), *inside), nn.Linear(4, 1)))
    return NeuralSystem(model, Composition("tanh", "mse"), classes((9, 3)))


@pytest.mark.parametrize("module", [Centred(), Faintly(), Scaled(), Ordered(), NextOne()])
def test_coupling_is_refused_by_name(module: nn.Module) -> None:
    with pytest.raises(InvalidInputError, match=rf'^module "1.1" \({type(module).__name__}\) couples the samples of a'):
        measure(_system(module, nn.Tanh()))


@pytest.mark.parametrize("module", [Noisy(), ForgottenDropout()])
def test_chance_is_refused_by_name(module: nn.Module) -> None:
    system = _system(module, nn.Tanh())
    state = torch.random.get_rng_state()
    with pytest.raises(InvalidInputError, match=rf'^module "1.1" \({type(module).__name__}\) is random'):
        check_independence(system.model, system.spread(4))
    assert torch.equal(torch.random.get_rng_state(), state)
    with pytest.raises(InvalidInputError, match=r'^module "1.1"'):
        measure(system)


def test_dropout_in_train_mode_is_refused_by_name_although_it_was_added_later() -> None:
    system = _system(nn.Dropout(0.5))
    system.model.train()
    with pytest.raises(
        InvalidInputError, match=r'"1.1" \(Dropout\) is random in train mode: call model.eval\(\) first'
    ):
        measure(system)


def test_coupling_between_modules_is_that_of_the_model() -> None:
    system = NeuralSystem(seeded(Outside), Composition("tanh", "mse"), classes((9, 3)))
    with pytest.raises(InvalidInputError, match=r"^the model \(Outside\) couples"):
        measure(system)


def test_first_samples_may_be_alike() -> None:
    class Sorted(Dataset[tuple[Tensor, Tensor]]):
        """Its first half is one and the same sample."""

        def __len__(self) -> int:
            return 40

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            if index >= len(self):
                raise IndexError
            return torch.full((3,), max(0, index - 20) / 7), torch.tensor(1.0)

    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), Centred(), nn.Linear(4, 1)))
    system = NeuralSystem(model, Composition("tanh", "mse"), Sorted())
    assert system.spread(4)[:, 0].tolist() == pytest.approx([0, 0, 6 / 7, 19 / 7])
    with pytest.raises(InvalidInputError, match="Centred"):
        measure(system)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(5), nn.GELU(), nn.LayerNorm(4)),
        lambda: nn.TransformerEncoderLayer(4, 2, 8, 0.0, batch_first=True),
        lambda: nn.Sequential(nn.Conv1d(5, 5, 3, padding=1), nn.GroupNorm(5, 5), nn.Softmax(dim=-1)),
        Transposed,
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ordinary_layers_are_independent(layer: Callable[[], nn.Module], dtype: torch.dtype) -> None:
    model = seeded(lambda: nn.Sequential(layer(), nn.Flatten(), nn.Linear(20, 2))).to(dtype)
    for samples in (1, 2, 4):
        x = torch.randn(samples, 5, 4, generator=torch.Generator().manual_seed(samples), dtype=dtype)
        check_independence(model, x)


class Placed(nn.Module):
    """Doubles the outputs at some places of a batch with more than four samples, depending on its size."""

    def __init__(self, places: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.places = places

    def forward(self, y: Tensor) -> Tensor:
        number = torch.arange(len(y))
        chosen = self.places(number) if len(y) > 4 else torch.zeros(len(y), dtype=torch.bool)
        return torch.where(chosen[:, None], 2 * y, y)


PLACES: dict[str, Callable[[Tensor], Tensor]] = {
    "first eight": lambda number: number < 8,
    "last": lambda number: number == len(number) - 1,
    "one in the middle": lambda number: number == 17,
    "every second": lambda number: number % 2 == 0,
    "large batches": lambda number: number.new_full((), len(number) > 20, dtype=torch.bool).expand(len(number)),
    "small batches": lambda number: number.new_full((), len(number) < 20, dtype=torch.bool).expand(len(number)),
    "batches of an odd size": lambda number: number.new_full((), len(number) % 2, dtype=torch.bool).expand(len(number)),
}


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_places_that_a_few_samples_do_not_show_are_refused(places: str, dtype: torch.dtype) -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), Placed(PLACES[places]), nn.Tanh(), nn.Linear(4, 1)))
    system = NeuralSystem(model.to(dtype), Composition("tanh", "mse"), classes((75, 3)))
    check_independence(system.model, system.spread(4))
    with pytest.raises(InvalidInputError, match=r'^module "1" \(Placed\) couples the samples of a batch'):
        measure(system, batch_size=30)


class GhostNorm(nn.Module):
    """Subtracts the mean of every eight samples that follow one another."""

    def forward(self, y: Tensor) -> Tensor:
        return torch.cat([part - part.mean(0) if len(part) == 8 else part for part in y.split(8)])


class Clipped(nn.Module):
    """Divides by the largest output, if the batch is no small one."""

    def forward(self, y: Tensor) -> Tensor:
        return y / y.abs().max() if len(y) > 5 else y


@pytest.mark.parametrize("module", [GhostNorm(), Clipped()])
@pytest.mark.parametrize("batch_size", [16, 64])
def test_coupling_in_larger_batches_is_refused(module: nn.Module, batch_size: int) -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(3, 4), module, nn.Tanh(), nn.Linear(4, 1)))
    system = NeuralSystem(model, Composition("tanh", "mse"), classes((64, 3)))
    with pytest.raises(InvalidInputError, match="couples the samples of a batch"):
        measure(system, batch_size=batch_size)


def test_a_hook_is_code_of_a_user() -> None:
    system = NeuralSystem(
        seeded(lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))), Composition("tanh", "mse"),
        classes((64, 3)),
    )  # fmt: skip
    assert not has_own_code(system.model)
    system.model[0].register_forward_hook(lambda module, inputs, y: y * (1 + (len(y) > 40)))
    with pytest.raises(InvalidInputError, match=r"^the model \(Sequential\) couples|couples the samples of a batch"):
        measure(system)


def test_what_is_the_same_everywhere_passes_whatever_the_size_of_the_batch() -> None:
    class Own(nn.Module):
        def forward(self, y: Tensor) -> Tensor:
            return torch.softmax(y, dim=1)

    model = seeded(lambda: nn.Sequential(nn.Linear(3, 40), Own(), nn.Linear(40, 1)))
    for dtype in (torch.float32, torch.float64):
        for samples in (1, 2, 3, 50):
            x = classes((samples, 3)).x.to(dtype)
            check_whole_batch(model.to(dtype), x)


class Capacity(nn.Module):
    """Takes so many samples of a kind, and leaves out those beyond."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beyond = (x[:, 0] > 0).long().cumsum(0) > 40
        return self.layer(x).masked_fill((beyond & (x[:, 0] > 0))[:, None], 0.0)


def test_an_overflow_in_the_last_batch_is_refused() -> None:
    torch.manual_seed(0)
    x = torch.randn(128, 3, dtype=torch.float64)
    # Half of the first batch and all of the last, which has the same size.
    x[64:, 0] = x[64:, 0].abs()
    system = NeuralSystem(Capacity().double(), nn.MSELoss(), TensorDataset(x, torch.zeros(128, 2)))
    with pytest.raises(InvalidInputError, match="couples the samples of a batch"):
        measure(system, batch_size=64)
