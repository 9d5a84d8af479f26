"""A network whose output for a sample depends on other samples, or on chance, is refused by the module that does it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from critlearn.compositions import Composition
from critlearn.errors import InvalidInputError
from critlearn.fluctuations import measure
from critlearn.network import NeuralSystem
from critlearn.network.checks.independence import check_independence
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
