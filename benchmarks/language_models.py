"""Language models, and the small networks they are made of, from plain torch: workloads of `language_model.py`."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

VOCABULARY, WIDTH, LAYERS, HEADS, TOKENS, SEQUENCES = 5000, 256, 6, 4, 128, 64
SAMPLES = 64


class Workload(NamedTuple):
    """A network, the loss that critlearn is given, data for it, and the summed loss of a batch in plain torch."""

    model: nn.Module
    loss: nn.Module
    data: Dataset  # type: ignore[type-arg]
    x: Tensor
    t: Tensor
    plain_loss: Callable[[nn.Module, Tensor, Tensor], Tensor]


class Block(nn.Module):
    """Block of a decoder, with causal attention."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.second, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Attention, then two dense layers."""
        samples, tokens, width = x.shape
        parts = self.qkv(self.first(x)).split(width, dim=2)
        q, k, v = (part.reshape(samples, tokens, self.heads, -1).transpose(1, 2) for part in parts)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(samples, tokens, width))
        return x + self.down(nn.functional.gelu(self.up(self.second(x))))


class LanguageModel(nn.Module):
    """Decoder with learnt positions."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(LAYERS))
        self.last, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of each position."""
        y = self.words(x) + self.places(torch.arange(x.shape[1], device=x.device))
        for block in self.blocks:
            y = block(y)
        return self.head(self.last(y))


class Labelled(Dataset):  # type: ignore[type-arg]
    """Sequences as Hugging Face has them."""

    def __init__(self, tokens: Tensor) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


def _token_loss(y: Tensor, t: Tensor) -> Tensor:
    return nn.functional.cross_entropy(y.reshape(-1, y.shape[-1]), t.reshape(-1), reduction="sum")


def own() -> Workload:
    """A decoder as one writes it."""
    model, tokens = LanguageModel(), torch.randint(VOCABULARY, (SEQUENCES, TOKENS + 1))
    x, t = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    loss = nn.CrossEntropyLoss(reduction="sum")
    return Workload(model, loss, TensorDataset(x, t), x, t, lambda net, x, t: _token_loss(net(x), t))


def gpt2() -> Workload:
    """GPT-2 of Hugging Face, whose head is its table of words."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=VOCABULARY, n_positions=TOKENS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, resid_pdrop=0.0,
        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model, tokens = GPT2LMHeadModel(config).eval(), torch.randint(VOCABULARY, (SEQUENCES, TOKENS))

    def plain_loss(net: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        return _token_loss(net(input_ids=x).logits[:, :-1], t[:, 1:])

    return Workload(model, nn.CrossEntropyLoss(reduction="sum"), Labelled(tokens), tokens, tokens, plain_loss)


class VisionTransformer(nn.Module):
    """Patches, a class token and learnt positions, torch's own encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 32, 7, stride=7)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, 32)), nn.Parameter(0.1 * torch.randn(1, 17, 32))
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the class token."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(len(x), -1, -1), y], dim=1) + self.places
        return self.head(self.encoder(y)[:, 0])


class Mixer(nn.Module):
    """Dense layers over patches and over channels by turns."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norms = nn.Conv2d(1, 32, 7, stride=7), nn.ModuleList(nn.LayerNorm(32) for _ in range(4))
        self.places = nn.ModuleList(nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)) for _ in range(2))
        self.channels = nn.ModuleList(nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32)) for _ in range(2))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the mean over patches."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        for block in range(2):
            y = y + self.places[block](self.norms[2 * block](y).transpose(1, 2)).transpose(1, 2)
            y = y + self.channels[block](self.norms[2 * block + 1](y))
        return self.head(y.mean(dim=1))


class MaskedAttention(nn.Module):
    """Torch's attention with a causal mask."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.attention = nn.Linear(8, 32), nn.MultiheadAttention(32, 4, batch_first=True)
        self.head = nn.Linear(32, 10)
        self.register_buffer("mask", torch.ones(16, 16, dtype=torch.bool).triu(1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the last position."""
        y = torch.tanh(self.inner(x))
        return self.head(y[:, -1] + self.attention(y, y, y, attn_mask=self.mask, need_weights=False)[0][:, -1])


class Recurrent(nn.Module):
    """A GRU and a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.GRU(8, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the last state."""
        return self.head(self.layer(x)[0][:, -1])


class GraphConvolution(nn.Module):
    """Two layers of means over neighbours on a ring of 16 nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.head = nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 10)
        ring = torch.eye(16)
        self.register_buffer("neighbours", (ring + ring.roll(1, 0) + ring.roll(-1, 0)) / 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits from the mean over nodes."""
        y = torch.relu(self.first(self.neighbours @ x))
        y = torch.relu(self.second(self.neighbours @ y))
        return self.head(y.mean(dim=1))


SMALL: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vision-transformer": (VisionTransformer, (1, 28, 28)),
    "mixer": (Mixer, (1, 28, 28)),
    "masked-attention": (MaskedAttention, (16, 8)),
    "GRU": (Recurrent, (16, 8)),
    "graph-convolution": (GraphConvolution, (16, 8)),
}
"""Small networks: how they are made, and the shape of a sample."""


def small(name: str) -> Workload:
    """One of the small networks, with random data."""
    make, shape = SMALL[name]
    model, x, t = make().eval(), torch.randn(SAMPLES, *shape), torch.randint(10, (SAMPLES,))

    def plain_loss(net: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net(x), t, reduction="sum")

    return Workload(model, nn.CrossEntropyLoss(), TensorDataset(x, t), x, t, plain_loss)


def workload(name: str) -> Workload:
    """A workload by name, the same each time."""
    torch.manual_seed(0)
    return {"own": own, "GPT-2": gpt2}[name]() if name in ("own", "GPT-2") else small(name)
