"""Weights of a network from a file; nothing is unpickled but tensors."""

import pickle  # nosec B403  # for the name of its exception; files are read with weights_only
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from critlearn.errors import DataError, first_line

_ENDINGS: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
"""Endings of the files that can be read; all but the first are those of `torch.save`."""

_WITHIN: Final = ("state_dict", "model_state_dict", "model")
"""Entries under which training scripts keep the weights, beside their optimiser's state."""

_SHOWN: Final = 3
"""Names of a message: enough to recognise what kind of mismatch it is."""


def load_checkpoint(model: nn.Module, path: Path) -> nn.Module:
    """Load weights into a network, which is returned.

    A checkpoint of one floating-point type that is finer than the network's sets the network's type, so that nothing is
    rounded.

    Parameters
    ----------
    model
        Network of the checkpoint's shape.
    path
        ``.safetensors``, or a file of `torch.save` with a dictionary of tensors.

    Raises
    ------
    DataError
        If the file is missing or damaged, holds more than tensors, or is of another network.
    """
    weights = _without_wrapper(_read(path), model)
    known = dict(model.state_dict())
    weights = {**weights, **_tied(model, weights)}
    missing = [name for name in known if name not in weights]
    unexpected = [name for name in weights if name not in known]
    if missing or unexpected:
        raise DataError(f'"{path}" is of another network: {_differences(missing, unexpected)}')
    for name, value in known.items():
        if isinstance(value, Tensor):
            _check_alike(name, value, weights[name], path)
    types = {value.dtype for value in weights.values() if value.is_floating_point()}
    own = {value.dtype for value in model.parameters() if value.is_floating_point()}
    if types == {torch.float64} and own != {torch.float64}:
        model = model.double()
    model.load_state_dict(weights)
    return model


def _tied(model: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights under further names: some programs store a parameter with several names under one of them alone."""
    names: dict[int, list[str]] = {}
    for name, value in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        names.setdefault(id(value), []).append(name)
    further: dict[str, Tensor] = {}
    for group in names.values():
        stored = [name for name in group if name in weights]
        further |= {name: weights[stored[0]] for name in group if stored and name not in weights}
    return further


def _check_alike(name: str, own: Tensor, stored: Tensor, path: Path) -> None:
    """Raise if a stored tensor has another shape or kind of numbers than that of the network."""
    if stored.layout != torch.strided:
        raise DataError(f'"{path}": {name} is a sparse tensor; save dense ones')
    if own.shape != stored.shape:
        raise DataError(
            f'"{path}" is of another network: {name} has shape {tuple(stored.shape)} there and {tuple(own.shape)} here'
        )
    if (own.is_floating_point(), own.is_complex()) != (stored.is_floating_point(), stored.is_complex()):
        raise DataError(f'"{path}" is of another network: {name} holds {stored.dtype} there and {own.dtype} here')


def _read(path: Path) -> Mapping[str, Tensor]:
    """Tensors of a file by name.

    Raises
    ------
    DataError
        If there are none.
    """
    if path.suffix not in _ENDINGS:
        raise DataError(f'"{path}" is not a checkpoint that can be read: {", ".join(_ENDINGS)} are')
    if not path.is_file():
        raise DataError(f'no such file: "{path}"')
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise DataError(
            f'"{path}" holds more than tensors, such as a whole pickled model, and is not unpickled, as that could run '
            "any code: save the weights alone, torch.save(model.state_dict(), path)"
        ) from problem
    except Exception as problem:
        # Torch's reader fails in many ways on what is no checkpoint.
        raise DataError(f'"{path}" cannot be read: {first_line(problem)}') from problem
    return _tensors(content, path, depth=2)


def _tensors(content: Any, path: Path, depth: int) -> Mapping[str, Tensor]:
    """Tensors by name in what a file holds: itself, or an entry of it."""
    if isinstance(content, Mapping):
        if content and all(isinstance(value, Tensor) for value in content.values()):
            return {str(name): value for name, value in content.items()}
        for name in _WITHIN:
            if depth and isinstance(content.get(name), Mapping):
                return _tensors(content[name], path, depth - 1)
        entries = ", ".join(str(name) for name in list(content)[:_SHOWN])
        raise DataError(
            f'"{path}" holds no weights by name, nor under {", ".join(_WITHIN)}; its entries: {entries or "none"}'
        )
    raise DataError(f'"{path}" holds a {type(content).__name__}, not weights by name')


def _without_wrapper(weights: Mapping[str, Tensor], model: nn.Module) -> Mapping[str, Tensor]:
    """Weights without the prefix that a wrapper, such as that of parallel training, puts before all names."""
    known = model.state_dict()
    for prefix in ("module.", "model.", "_orig_mod."):
        if weights and all(name.startswith(prefix) for name in weights) and not any(name in known for name in weights):
            return {name.removeprefix(prefix): value for name, value in weights.items()}
    return weights


def _differences(missing: list[str], unexpected: list[str]) -> str:
    """Missing and unexpected names in words."""
    parts = []
    if missing:
        parts.append(f"it lacks {_some(missing)}")
    if unexpected:
        parts.append(f"it has {_some(unexpected)}, which the network has not")
    if missing and unexpected:
        near = get_close_matches(missing[0], unexpected, n=1)
        if near:
            parts.append(f'"{near[0]}" may be "{missing[0]}"')
    return "; ".join(parts)


def _some(names: list[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
