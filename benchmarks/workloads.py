"""Networks and data of the speed comparisons."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset


class Block(nn.Module):
    """Encoder layer of a transformer, written in dense layers so that every peer can take it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Attention and feed-forward part, each behind a normalisation."""
        samples, tokens, width = x.shape
        h = self.norm1(x)
        query, key, value = (
            layer(h).reshape(samples, tokens, self.heads, -1).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        scores = (query @ key.transpose(2, 3) / math.sqrt(width // self.heads)).softmax(dim=-1)
        x = x + self.out((scores @ value).transpose(1, 2).reshape(samples, tokens, width))
        return x + self.down(functional.relu(self.up(self.norm2(x))))


class Encoder(nn.Module):
    """Transformer encoder over tokens that are vectors, with a classifier of their mean."""

    def __init__(self, width: int = 128, layers: int = 2, heads: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from tokens (sample, token, width)."""
        return self.head(self.blocks(x).mean(dim=1))


def workload(name: str) -> tuple[nn.Module, TensorDataset]:
    """Network and data: W1 (dense inputs), W1-sparse (four fifths of the inputs are 0), W2 and W3."""
    torch.manual_seed(0)
    if name.startswith("W1"):
        x = torch.randn(8192, 784)
        if name == "W1-sparse":
            x = x * (torch.rand(x.shape) < 0.19)
        model: nn.Module = nn.Sequential(nn.Linear(784, 128), nn.Tanh(), nn.Linear(128, 10))
    elif name == "W2":
        x = torch.randn(2048, 1, 28, 28)
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
    elif name == "W3":
        x = torch.randn(512, 64, 128)
        model = Encoder()
    else:
        raise ValueError(name)
    return model, TensorDataset(x, torch.randint(10, (len(x),)))
