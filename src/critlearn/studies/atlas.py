"""Networks of the atlas: one small network of each family, with its loss and real data that come with packages.

Each function takes the name of a hidden activation and returns network, loss and data, as a study file of kind
``network`` names them: ``network: critlearn.studies.atlas:residual``.
"""

import re
from functools import cache
from pydoc_data.topics import topics
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from critlearn.compositions import Composition
from critlearn.network import feed_forward
from critlearn.network.modules import hidden_activation as activation_module
from critlearn.studies.datasets.loading import load_data

Parts = tuple[nn.Module, Composition | nn.Module, TensorDataset]
"""Network, loss and data."""

_SIDE: Final = 8
"""Pixels along a side of the images of digits."""

_WIDTH: Final = 16
"""Channels, or width of tokens, of all networks but the dense one: thousands of trainable variables, so that a network
is trained and measured in minutes on one core."""

_NARROW: Final = 8
"""Width of networks of text: two to three thousand variables, whose loss is stationary after some hundred epochs."""

_LENGTH, _SEQUENCES = 16, 1000
"""Characters of a piece of text, and pieces: 16,000 characters, so that training ends in minutes."""


def dense(hidden_activation: str = "tanh") -> Parts:
    """Dense network that tells of 60,000 flights which were late."""
    flights = load_data("flights")
    loss = Composition("sigmoid", "bce")
    model = feed_forward(flights.x.shape[1], (32, 32), hidden_activation, seed=torch.initial_seed() % 2**31)
    return model, loss, flights.boundary(loss)


def convolutional(hidden_activation: str = "tanh") -> Parts:
    """Two convolutions on images of digits."""
    model = nn.Sequential(
        nn.Conv2d(1, _WIDTH, 3, padding=1),
        activation_module(hidden_activation),
        nn.Conv2d(_WIDTH, _WIDTH, 3, stride=2),
        activation_module(hidden_activation),
        nn.Flatten(),
        nn.Linear(9 * _WIDTH, 10),
    )
    return model.double(), nn.CrossEntropyLoss(), _images()


def residual(hidden_activation: str = "tanh") -> Parts:
    """Residual network of two blocks on images of digits."""
    model = nn.Sequential(
        nn.Conv2d(1, _WIDTH, 3, padding=1),
        nn.AvgPool2d(2),
        _ResidualBlock(hidden_activation),
        _ResidualBlock(hidden_activation),
        nn.Flatten(),
        nn.Linear(16 * _WIDTH, 10),
    )
    return model.double(), nn.CrossEntropyLoss(), _images()


def vision_transformer(hidden_activation: str = "tanh") -> Parts:
    """Transformer of two blocks on sixteen patches of images of digits."""
    return _VisionTransformer(hidden_activation).double(), nn.CrossEntropyLoss(), _images()


def graph_convolution(hidden_activation: str = "tanh") -> Parts:
    """Graph convolutions over the grid of pixels of images of digits."""
    images = _images().tensors
    data = TensorDataset(images[0].flatten(2).transpose(1, 2), images[1])
    return _GraphNetwork(hidden_activation).double(), nn.CrossEntropyLoss(), data


def recurrent(hidden_activation: str = "tanh") -> Parts:
    """LSTM that predicts the next letter of Python's own help texts."""
    data, characters = _text()
    return _Recurrent(characters, hidden_activation).double(), nn.CrossEntropyLoss(), data


def language_model(hidden_activation: str = "tanh") -> Parts:
    """Decoder of two blocks that predicts the next letter of Python's own help texts."""
    data, characters = _text()
    return _LanguageModel(characters, hidden_activation).double(), nn.CrossEntropyLoss(), data


@cache
def _images() -> TensorDataset:
    """1,797 images of digits, 8 x 8, with their classes."""
    digits = load_data("digits")
    return TensorDataset(digits.x.double().reshape(-1, 1, _SIDE, _SIDE), digits.labels)


@cache
def _text() -> tuple[TensorDataset, int]:
    """Pieces of text with the characters that follow, and the number of different characters: letters and a space.

    Rows of rare characters, which few pieces move, would be no part of an equilibrium for hundreds of epochs.
    """
    whole = re.sub("[^a-z]+", " ", " ".join(topics[name] for name in sorted(topics)).lower())
    known = {character: number for number, character in enumerate(sorted(set(whole)))}
    coded = torch.tensor([known[character] for character in whole])
    # Evenly over the whole text, as its topics differ.
    starts = torch.linspace(0, len(coded) - _LENGTH - 2, _SEQUENCES).long()
    pieces = coded[starts[:, None] + torch.arange(_LENGTH + 1)]
    return TensorDataset(pieces[:, :-1].contiguous(), pieces[:, 1:].contiguous()), len(known)


class _ResidualBlock(nn.Module):
    """Two convolutions, added to what comes in.

    Without normalization, which makes the loss blind to the size of the weights before it, so that weight decay shrinks
    them without end.
    """

    def __init__(self, hidden_activation: str) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1) for _ in range(2))
        self.activation, self.last = (activation_module(hidden_activation) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Images of the same shape."""
        return torch.as_tensor(self.last(x + self.second(self.activation(self.first(x)))))


class _Block(nn.Module):
    """Attention and two dense layers, each on normalised tokens and added to them."""

    def __init__(self, width: int, hidden_activation: str, *, causal: bool) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation, self.causal = activation_module(hidden_activation), causal

    def forward(self, x: Tensor) -> Tensor:
        """Tokens of the same shape."""
        samples, tokens, width = x.shape
        q, k, v = (
            part.reshape(samples, tokens, 4, width // 4).transpose(1, 2)
            for part in self.qkv(self.first(x)).split(width, dim=2)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        x = x + self.out(mixed.transpose(1, 2).reshape(samples, tokens, width))
        return torch.as_tensor(x + self.down(self.activation(self.up(self.second(x)))))


class _VisionTransformer(nn.Module):
    """Patches as tokens with learnt places; the mean token is read out."""

    def __init__(self, hidden_activation: str) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, _WIDTH, 2, stride=2)
        self.places = nn.Embedding(_SIDE**2 // 4, _WIDTH)
        self.blocks = nn.ModuleList(_Block(_WIDTH, hidden_activation, causal=False) for _ in range(2))
        self.read_out = nn.Linear(_WIDTH, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of classes."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = tokens + self.places(torch.arange(tokens.shape[1], device=x.device))
        for block in self.blocks:
            tokens = block(tokens)
        return torch.as_tensor(self.read_out(tokens.mean(dim=1)))


class _GraphNetwork(nn.Module):
    """Two graph convolutions ``activation(A x W)`` with the normalised adjacency A of the grid; nodes are averaged."""

    adjacency: Tensor

    def __init__(self, hidden_activation: str) -> None:
        super().__init__()
        row, column = torch.meshgrid(torch.arange(_SIDE), torch.arange(_SIDE), indexing="ij")
        place = torch.stack([row.flatten(), column.flatten()], dim=1).double()
        near = (torch.cdist(place, place, p=1) <= 1).double()
        degree = near.sum(dim=1).rsqrt()
        self.register_buffer("adjacency", degree[:, None] * near * degree)
        # Where a pixel lies is a feature of its node: without it all nodes of a kind were alike.
        self.register_buffer("place", place / _SIDE - 0.5)
        self.first, self.second = nn.Linear(3, _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.read_out = nn.Linear(_WIDTH, 10)
        self.activation, self.last = (activation_module(hidden_activation) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of classes, of pixels (sample, node, 1)."""
        nodes = torch.cat([x, self.get_buffer("place").expand(len(x), -1, -1)], dim=2)
        nodes = self.activation(self.first(self.adjacency @ nodes))
        nodes = self.last(self.second(self.adjacency @ nodes))
        return torch.as_tensor(self.read_out(nodes.mean(dim=1)))


class _Recurrent(nn.Module):
    """LSTM with a dense layer before the read-out."""

    def __init__(self, characters: int, hidden_activation: str) -> None:
        super().__init__()
        self.characters = nn.Embedding(characters, _NARROW)
        self.memory = nn.LSTM(_NARROW, 2 * _NARROW, batch_first=True)
        self.hidden, self.activation = nn.Linear(2 * _NARROW, 2 * _NARROW), activation_module(hidden_activation)
        self.read_out = nn.Linear(2 * _NARROW, characters)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character at each place."""
        return torch.as_tensor(self.read_out(self.activation(self.hidden(self.memory(self.characters(x))[0]))))


class _LanguageModel(nn.Module):
    """Decoder with learnt places."""

    def __init__(self, characters: int, hidden_activation: str) -> None:
        super().__init__()
        self.characters, self.places = nn.Embedding(characters, _NARROW), nn.Embedding(_LENGTH, _NARROW)
        self.blocks = nn.ModuleList(_Block(_NARROW, hidden_activation, causal=True) for _ in range(2))
        self.normalize, self.read_out = nn.LayerNorm(_NARROW), nn.Linear(_NARROW, characters)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the next character at each place."""
        tokens = self.characters(x) + self.places(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            tokens = block(tokens)
        return torch.as_tensor(self.read_out(self.normalize(tokens)))
