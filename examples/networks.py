"""Small networks and their data: images of digits, and text."""

import argparse
import inspect
from collections.abc import Callable, Iterator

import torch
from sklearn.datasets import load_digits
from torch import nn


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Images of digits, 8 x 8, and their classes."""
    held = load_digits()
    return torch.tensor(held.data / 16 - 0.3, dtype=torch.float32), torch.tensor(held.target)


def perceptron(hidden: int = 64) -> nn.Module:
    """Network of two hidden layers."""
    return nn.Sequential(nn.Linear(64, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 10))


def convolutional() -> nn.Module:
    """Network of two convolutions."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


class CharacterTransformer(nn.Module):
    """Transformer of one layer that predicts the next character."""

    def __init__(self, characters: int, length: int, width: int = 32) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(characters, width), nn.Parameter(0.1 * torch.randn(length, width))
        self.layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.0, batch_first=True)
        self.read = nn.Linear(width, characters)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, text: torch.Tensor) -> torch.Tensor:
        """Scores of the next characters, (sample, character, place)."""
        return self.read(self.layer(self.embed(text) + self.place, src_mask=self.mask)).transpose(1, 2)


def text_batches(length: int) -> tuple[int, Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]]:
    """Number of characters, and a source of batches, of the standard library's own prose and code."""
    text = "".join(inspect.getsource(module) for module in (argparse, inspect))
    known = {character: number for number, character in enumerate(sorted(set(text)))}
    coded = torch.tensor([known[character] for character in text])

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        starts = torch.randint(len(coded) - length - 1, (16,), generator=generator)
        pieces = torch.stack([coded[start : start + length + 1] for start in starts.tolist()])
        return pieces[:, :-1], pieces[:, 1:]

    return len(known), batch


def tasks() -> Iterator[tuple[str, nn.Module, Callable[[torch.Generator], tuple[torch.Tensor, torch.Tensor]]]]:
    """Networks with their sources of batches."""
    x, t = digits()

    def batch(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = torch.randint(len(x), (16,), generator=generator)
        return x[chosen], t[chosen]

    yield "dense 64-64-64-10 on digits", perceptron(), batch
    yield "convolutional 8-16-10 on digits", convolutional(), batch
    characters, texts = text_batches(32)
    yield "character transformer", CharacterTransformer(characters, 32), texts
