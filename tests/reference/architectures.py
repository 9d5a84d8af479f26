"""Tiny untrained networks of many architectures, each with samples: what is measured is checked sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from critlearn.fluctuations.grad_sample.per_sample import PerSampleGradients
from reference import language_models

SAMPLES: Final = 6
CLASSES: Final = 3
WORDS: Final = language_models.WORDS


@dataclass(frozen=True)
class Architecture:
    """A network, its loss and data, as a user has them.

    Parameters
    ----------
    model
        Makes the network.
    data
        The samples: a data set, or a list of dictionaries.
    alone
        From the network and the number of a sample to the pre-activations and targets of that sample passed alone.
    loss
        Loss of a batch of pre-activations and targets.
    batch
        The one adapter line, if the convention does not do.
    frozen
        Variables that no sample can use: the user freezes them.
    whole
        Variables that are left to differentiation of the whole network.
    """

    model: Callable[[], nn.Module]
    data: Any
    alone: Callable[[nn.Module, int], tuple[Tensor, Tensor]]
    loss: nn.Module = nn.CrossEntropyLoss()  # noqa: RUF009 - modules without state
    batch: Callable[[Any], tuple[Any, Any]] | None = None
    frozen: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()

    def made(self, dtype: torch.dtype = torch.float64) -> nn.Module:
        """The network in evaluation mode, the same each time, all variables away from 0 and 1."""
        torch.manual_seed(1)
        model = self.model().to(dtype).eval()
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for value in model.parameters():
                # Biases and scales that are all 0 or all 1 would hide how they are used.
                value += 0.1 * torch.randn(value.shape, generator=generator, dtype=value.dtype)
            for name, value in model.named_buffers():
                if name.endswith(("running_mean", "running_var")):
                    value += torch.rand(value.shape, generator=generator, dtype=value.dtype)
        for name, value in model.named_parameters():
            if name in self.frozen:
                value.requires_grad_(False)
        return model


def plain_rows(architecture: Architecture, model: nn.Module, sample: int) -> dict[str, Tensor]:
    """Gradients of one sample's loss by automatic differentiation, by name of the trainable variable."""
    variables = {name: value for name, value in model.named_parameters() if value.requires_grad}
    loss = architecture.loss(*architecture.alone(model, sample))
    found = torch.autograd.grad(loss, list(variables.values()), allow_unused=True)
    return {
        name: torch.zeros_like(value) if gradient is None else gradient
        for (name, value), gradient in zip(variables.items(), found, strict=True)
    }


def measured_rows(gradients: PerSampleGradients, samples: int) -> dict[str, Tensor]:
    """Gradients (sample, variable) of the first samples of a system."""
    x, t = next(gradients.system.boundary(samples))
    pieces: dict[str, dict[int, Tensor]] = {}
    for item in gradients.batch(x, t):
        values = item.grad_sample.dense() * item.log_scale.exp()[:, None]
        pieces.setdefault(item.name, {})[item.start] = values
    return {name: torch.cat([parts[at] for at in sorted(parts)]) for name, parts in pieces.items()}


def differences(architecture: Architecture, model: nn.Module, found: dict[str, Tensor]) -> dict[str, float]:
    """Largest difference from automatic differentiation, in units of each variable's largest gradient.

    Variables without gradients but for rounding, such as the bias of attention keys, are left out.
    """
    rows = [plain_rows(architecture, model, sample) for sample in range(SAMPLES)]
    expected = {name: torch.stack([row[name].flatten() for row in rows]) for name in rows[0]}
    largest = max(float(values.abs().max()) for values in expected.values())
    return {
        name: float((found[name] - values).abs().max() / values.abs().max())
        for name, values in expected.items()
        if float(values.abs().max()) > 1e-10 * largest
    }


def _numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _choices(top: int, *shape: int, seed: int = 5) -> Tensor:
    return torch.randint(top, shape, generator=torch.Generator().manual_seed(seed))


def _of_words(
    name: str,
    model: Callable[[], nn.Module],
    *,
    whole: tuple[str, ...] = (),
    batch: Callable[[Any], tuple[Any, Any]] | None = None,
) -> Architecture:
    """Language model of Hugging Face on padded sequences; ``name`` says how its labels are read."""
    rows = language_models.rows(name)
    return Architecture(
        model,
        rows,
        lambda network, sample: language_models.alone(name, network, rows[sample]),
        nn.CrossEntropyLoss(reduction="sum"),
        batch,
        whole=whole,
    )


def _next_words(raw: dict[str, Any]) -> tuple[dict[str, Any], Tensor]:
    """The one adapter line of models that do not say how they read labels: the label of a position is the next word."""
    inputs = {key: raw[key] for key in ("input_ids", "attention_mask")}
    return inputs, functional.pad(raw["labels"][:, 1:], (0, 1), value=-100)


def _of_tensors(
    model: Callable[[], nn.Module], x: Tensor, t: Tensor, loss: nn.Module | None = None, *, whole: tuple[str, ...] = ()
) -> Architecture:
    """A network of one tensor."""
    return Architecture(
        model,
        TensorDataset(x, t),
        lambda network, sample: (network(x[sample : sample + 1]), t[sample : sample + 1]),
        loss or nn.CrossEntropyLoss(),
        whole=whole,
    )


def _of_named(
    model: Callable[[], nn.Module], name: str, x: Tensor, t: Tensor, *, frozen: tuple[str, ...] = (), **more: Any
) -> Architecture:
    """A model of Hugging Face of one named input, which gives logits."""
    inputs = {name: x, **more}
    rows = [{key: value[at] for key, value in inputs.items()} | {"labels": t[at]} for at in range(len(t))]
    return Architecture(
        model,
        rows,
        lambda network, sample: (
            network(**{key: value[[sample]] for key, value in inputs.items()}).logits.movedim(-1, 1),
            t[[sample]],
        ),
        frozen=frozen,
    )


def _mistral() -> nn.Module:
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(
            vocab_size=WORDS, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=16, sliding_window=4, pad_token_id=0, bos_token_id=1,
            eos_token_id=2,
        )
    )  # fmt: skip


def _mixtral() -> nn.Module:
    return transformers.MixtralForCausalLM(
        transformers.MixtralConfig(
            vocab_size=WORDS, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, num_local_experts=3, num_experts_per_tok=2, max_position_embeddings=16,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, experts_implementation="eager",
        )
    )  # fmt: skip


def _mamba() -> nn.Module:
    return transformers.MambaForCausalLM(
        transformers.MambaConfig(
            vocab_size=WORDS, hidden_size=12, state_size=4, num_hidden_layers=2, pad_token_id=0, bos_token_id=1,
            eos_token_id=2,
        )
    )  # fmt: skip


def _vit() -> nn.Module:
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20, image_size=8,
            patch_size=4, num_channels=3, num_labels=CLASSES,
        )
    )  # fmt: skip


def _whisper() -> nn.Module:
    return transformers.WhisperForConditionalGeneration(
        transformers.WhisperConfig(
            vocab_size=WORDS, num_mel_bins=8, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=20, decoder_ffn_dim=20, d_model=12, max_source_positions=10,
            max_target_positions=12, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3,
            suppress_tokens=None, begin_suppress_tokens=None,
        )
    )  # fmt: skip


def _wav2vec2() -> nn.Module:
    return transformers.Wav2Vec2ForSequenceClassification(
        transformers.Wav2Vec2Config(
            vocab_size=WORDS, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
            conv_dim=(8, 8), conv_stride=(4, 2), conv_kernel=(8, 3), num_feat_extract_layers=2,
            num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, num_labels=CLASSES, classifier_proj_size=8,
            apply_spec_augment=False,
        )
    )  # fmt: skip


def _lora() -> nn.Module:
    import peft

    return peft.get_peft_model(
        language_models.gpt2(), peft.LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    )


class RecurrentLanguageModel(nn.Module):
    """Recurrent language model: packed where lengths differ, if asked for."""

    def __init__(self, kind: type[nn.RNNBase], *, packed: bool = False, both: bool = False) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, 6, padding_idx=0)
        self.memory = kind(6, 5, num_layers=2, batch_first=True, bidirectional=both)
        self.head, self.packed = nn.Linear(10 if both else 5, WORDS), packed

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        if not self.packed:
            return self.head(self.memory(x)[0])
        lengths = (tokens != 0).sum(dim=1).cpu()
        pack = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out = nn.utils.rnn.pad_packed_sequence(self.memory(pack)[0], batch_first=True, total_length=tokens.shape[1])
        return self.head(out[0])


class ResidualBlock(nn.Module):
    """Two convolutions with batch normalisation, and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.first_norm, self.second_norm = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(out)) + self.shortcut(x))


class ResidualNetwork(nn.Module):
    """Small ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.BatchNorm2d(4), nn.ReLU())
        self.blocks = nn.Sequential(ResidualBlock(4, 6, 2), ResidualBlock(6, 8, 2))
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


class ChannelsFirstNorm(nn.Module):
    """Layer normalisation over the channels of images, as ConvNeXt writes it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        spread = (x - mean).pow(2).mean(dim=1, keepdim=True)
        x = (x - mean) / torch.sqrt(spread + 1e-6)
        return self.weight[:, None, None] * x + self.bias[:, None, None]


class ConvNextBlock(nn.Module):
    """ConvNeXt's block: depthwise convolution, layer normalisation, two dense layers, a scale for each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, 2 * channels), nn.Linear(2 * channels, channels)
        self.gamma = nn.Parameter(0.1 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        out = self.gamma * self.narrow(functional.gelu(self.wide(out)))
        return x + out.permute(0, 3, 1, 2)


def _convnext() -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(3, 6, 2, 2), ChannelsFirstNorm(6))
    return nn.Sequential(
        stem, ConvNextBlock(6), ConvNextBlock(6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES)
    )


class UNet(nn.Module):
    """Small U-Net: a class for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.bottom = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up = nn.ConvTranspose2d(6, 4, 2, stride=2)
        self.join, self.head = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(4, CLASSES, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = functional.relu(self.down(x))
        coarse = functional.relu(self.bottom(functional.max_pool2d(fine, 2)))
        return self.head(functional.relu(self.join(torch.cat([fine, self.up(coarse)], dim=1))))


class GraphConvolution(nn.Module):
    """Graph convolution of Kipf and Welling: features of neighbours are averaged, then mixed by a matrix."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(_numbers(entering, leaving)), nn.Parameter(torch.zeros(leaving))

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        return links @ (x @ self.weight) + self.bias


class GraphNetwork(nn.Module):
    """Two graph convolutions and a mean over the nodes of each graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GraphConvolution(4, 6), GraphConvolution(6, CLASSES)

    def forward(self, x: Tensor, links: Tensor) -> Tensor:
        return self.second(functional.relu(self.first(x, links)), links).mean(dim=1)


def _graphs() -> Architecture:
    x, t = _numbers(SAMPLES, 5, 4), _choices(CLASSES, SAMPLES)
    links = ((_numbers(SAMPLES, 5, 5) > 0) | torch.eye(5, dtype=torch.bool)).double()
    links = links / links.sum(dim=2, keepdim=True)
    return Architecture(
        GraphNetwork,
        TensorDataset(x, links, t),
        lambda network, sample: (network(x[[sample]], links[[sample]]), t[[sample]]),
    )


_TOKENS: Final = _choices(WORDS - 1, SAMPLES, 7) + 1
_IMAGES: Final = _numbers(SAMPLES, 3, 8, 8)
_LABELS: Final = _choices(CLASSES, SAMPLES)
_PADDED: Final = _TOKENS * (torch.arange(7) < torch.tensor([7, 3, 5, 4, 7, 6])[:, None])


def _recurrent(kind: type[nn.RNNBase], **settings: bool) -> Architecture:
    tokens = _PADDED if settings.get("packed") else _TOKENS
    targets = functional.pad(tokens[:, 1:], (0, 1))
    loss = nn.CrossEntropyLoss(reduction="sum", ignore_index=0)
    return Architecture(
        lambda: RecurrentLanguageModel(kind, **settings),
        TensorDataset(tokens, targets),
        lambda network, sample: (network(tokens[[sample]])[0], targets[sample]),
        loss,
    )


ARCHITECTURES: Final[dict[str, Architecture]] = {
    "GPT-2, tied": _of_words("gpt2", language_models.gpt2),
    "GPT-2, untied": _of_words("gpt2", lambda: language_models.gpt2(tied=False)),
    "Llama, grouped queries": _of_words("llama", language_models.llama),
    "Mistral, sliding window": _of_words("llama", _mistral),
    "Mixtral, 2 of 3 experts": _of_words("llama", _mixtral),
    "BERT with padding": _of_words("bert", language_models.bert),
    "T5": _of_words(
        "t5",
        language_models.t5,
        whole=tuple(
            f"{part}.block.0.layer.0.SelfAttention.relative_attention_bias.weight" for part in ("encoder", "decoder")
        ),
    ),
    "Mamba": _of_words("llama", _mamba),
    "GPT-2 with LoRA": _of_words("gpt2", _lora, batch=_next_words),
    "ViT": _of_named(_vit, "pixel_values", _IMAGES, _LABELS),
    "Whisper": _of_named(
        _whisper, "input_features", _numbers(SAMPLES, 8, 20), _choices(WORDS, SAMPLES, 5),
        decoder_input_ids=_choices(WORDS, SAMPLES, 5, seed=6),
    ),
    "Wav2Vec2": _of_named(
        _wav2vec2, "input_values", _numbers(SAMPLES, 160), _LABELS, frozen=("wav2vec2.masked_spec_embed",)
    ),
    "LSTM language model": _recurrent(nn.LSTM),
    "GRU language model": _recurrent(nn.GRU),
    "LSTM, packed, both directions": _recurrent(nn.LSTM, packed=True, both=True),
    "GRU, packed": _recurrent(nn.GRU, packed=True),
    "ResNet": _of_tensors(ResidualNetwork, _IMAGES, _LABELS),
    "ConvNeXt": _of_tensors(_convnext, _IMAGES, _LABELS),
    "U-Net": _of_tensors(
        UNet, _numbers(SAMPLES, 2, 6, 6), _choices(CLASSES, SAMPLES, 6, 6), nn.CrossEntropyLoss(reduction="sum")
    ),
    "graph convolution": _graphs(),
}  # fmt: skip
