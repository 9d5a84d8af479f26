"""Tiny untrained language models, and samples of different lengths for them, as tokenisers give them."""

from collections.abc import Callable
from typing import Any, Final

import torch
import transformers
from torch import Tensor, nn

WORDS: Final = 40
"""Words of the vocabulary."""


def gpt2(*, tied: bool = True) -> nn.Module:
    config = transformers.GPT2Config(
        vocab_size=WORDS, n_positions=16, n_embd=12, n_layer=2, n_head=2, tie_word_embeddings=tied, bos_token_id=0,
        eos_token_id=0,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def llama() -> nn.Module:
    config = transformers.LlamaConfig(
        vocab_size=WORDS, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=16, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def bert() -> nn.Module:
    config = transformers.BertConfig(
        vocab_size=WORDS, hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20,
        max_position_embeddings=16,
    )  # fmt: skip
    return transformers.BertForMaskedLM(config)


def t5() -> nn.Module:
    config = transformers.T5Config(
        vocab_size=WORDS, d_model=12, d_kv=6, d_ff=20, num_layers=2, num_heads=2, decoder_start_token_id=0,
        pad_token_id=0,
    )  # fmt: skip
    return transformers.T5ForConditionalGeneration(config)


MODELS: Final[dict[str, Callable[[], nn.Module]]] = {
    "gpt2 tied": gpt2,
    "gpt2 untied": lambda: gpt2(tied=False),
    "llama, grouped queries": llama,
    "bert": bert,
    "t5": t5,
}


def made(name: str) -> nn.Module:
    """A model in double precision and evaluation mode, the same each time."""
    torch.manual_seed(1)
    return MODELS[name]().double().eval()


def rows(name: str, lengths: tuple[int, ...] = (7, 3, 5, 4, 7, 6)) -> list[dict[str, Any]]:
    """Samples as lists of numbers, with a text; labels are the tokens themselves for causal models."""
    generator = torch.Generator().manual_seed(2)
    found = []
    for length in lengths:
        tokens = torch.randint(3, WORDS, (length,), generator=generator)
        labels = tokens if shifted(name) else torch.randint(3, WORDS, (length,), generator=generator)
        # One position that is not counted.
        labels = torch.cat([labels[:-1], torch.tensor([-100])]) if length == 5 else labels
        found.append(
            {
                "input_ids": tokens.tolist(),
                "attention_mask": [1] * length,
                "labels": labels.tolist(),
                "text": "a sentence",
            }
        )
    return found


def shifted(name: str) -> bool:
    """Whether a position learns the next token."""
    return name.startswith(("gpt2", "llama"))


def alone(name: str, model: nn.Module, row: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Logits (position, word) and targets (position,) of one sample without padding, passed alone."""
    labels = torch.tensor([row["labels"]])
    inputs = {key: torch.tensor([row[key]]) for key in ("input_ids", "attention_mask")}
    if name == "t5":
        # Its decoder starts with the start token, and padding where labels are not counted.
        started = torch.cat([torch.zeros(1, 1, dtype=torch.int64), labels[:, :-1]], dim=1)
        inputs["decoder_input_ids"] = started.clamp(min=0)
    logits = model(**inputs).logits[0]
    return (logits[:-1], labels[0, 1:]) if shifted(name) else (logits, labels[0])


def plain_rows(name: str, model: nn.Module, row: dict[str, Any], loss: nn.Module) -> dict[str, Tensor]:
    """Gradients of one sample's loss by automatic differentiation, by name of the variable."""
    model.zero_grad()
    loss(*alone(name, model, row)).backward()
    return {
        key: torch.zeros_like(value) if value.grad is None else value.grad.clone()
        for key, value in model.named_parameters()
    }
