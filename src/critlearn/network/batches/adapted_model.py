"""Network of several inputs, or with outputs beside its pre-activations, as one from inputs to pre-activations."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from critlearn.errors import RAISED_BY_USER_CODE
from critlearn.network.batches.model_inputs import Inputs, ModelInputs, own_copy
from critlearn.network.batches.reading import names
from critlearn.network.copying import copied


class AdaptedModel(nn.Module):
    """A user's network that takes the inputs of a batch as one argument and returns its pre-activations alone.

    It shares modules, parameters, buffers and mode with the network, so that all names are those of the network.

    Parameters
    ----------
    given
        The user's network.
    with_positions
        Give every sample positions of its own. A network that makes them itself makes one row for all samples, and what
        it learns there is no sum over samples that could be told apart.
    names_its_output
        Whether the network returns an output with names, as models of sequences do, with classes in the last dimension.
    changes_inputs
        Whether the network works in place on its inputs: it is given copies, as samples are passed more than once.
    """

    def __init__(
        self,
        given: nn.Module,
        *,
        with_positions: bool = False,
        names_its_output: bool = False,
        changes_inputs: bool = False,
    ) -> None:
        # In the dictionary and no submodule, which would put a prefix before all names; needed by `training` below.
        self.__dict__["given"] = given
        training = given.training
        super().__init__()
        self.training = training
        for shared in ("_modules", "_parameters", "_buffers"):
            self.__dict__[shared] = given.__dict__[shared]
        self._with_positions, self.names_its_output = with_positions, names_its_output
        self._changes_inputs = changes_inputs
        # What a cache keeps of one pass would be there in the next, and for other samples.
        self._settings = {"use_cache": False} if names(given, "use_cache") else {}

    @property
    def training(self) -> bool:
        """Mode of the user's network."""
        return bool(self.__dict__["given"].training)

    @training.setter
    def training(self, mode: bool) -> None:
        self.__dict__["given"].training = mode

    def forward(self, x: Inputs) -> Any:
        """Pre-activations of a batch."""
        x = own_copy(x) if self._changes_inputs else x
        found = outputs_of(self._returned(x))
        # A network that removes all dimensions of length 1 gives a number alone for a batch of one.
        return found.reshape(1) if isinstance(found, Tensor) and found.dim() == 0 and len(x) == 1 else found

    def _returned(self, x: Inputs) -> Any:
        """What the network returns."""
        given = self.__dict__["given"]
        if not isinstance(x, ModelInputs):
            return given(x, **self._settings)
        keywords: dict[str, Any] = {**self._settings, **x.keywords}
        if self._with_positions:
            tokens = keywords["input_ids"]
            keywords["position_ids"] = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape)
        return given(*x.positional, **keywords)


def given_model(model: nn.Module) -> nn.Module:
    """The user's network itself, also of one that was adapted."""
    return model.__dict__["given"] if isinstance(model, AdaptedModel) else model


def outputs_of(returned: Any) -> Any:
    """Pre-activations among what a network returns: a tensor, or the ``logits`` of an output with names."""
    if isinstance(returned, Tensor):
        return returned
    logits = returned.get("logits") if isinstance(returned, Mapping) else getattr(returned, "logits", None)
    return logits if isinstance(logits, Tensor) else returned


@torch.no_grad()
def adapted(model: nn.Module, x: Inputs) -> nn.Module:
    """Network from inputs to pre-activations; the network itself if it is one.

    Parameters
    ----------
    model
        The user's network.
    x
        Inputs of a few samples. What the network raises for them is left to the first pass.
    """
    several = isinstance(x, ModelInputs)
    # Its own: the network may work in place on its inputs, which are the user's data.
    x = own_copy(x)
    before = [part._version for part in tree_leaves(x)]
    try:
        returned = _passed(copied(model), x)
    except RAISED_BY_USER_CODE:
        return AdaptedModel(model) if several else model
    changes = before != [part._version for part in tree_leaves(x)]
    named = outputs_of(returned) is not returned
    if not (several or named or changes or _drops_samples(model, returned, x)):
        return model
    numbered = not changes and _makes_positions(model, x)
    return AdaptedModel(model, with_positions=numbered, names_its_output=named, changes_inputs=changes)


def _passed(model: nn.Module, x: Inputs) -> Any:
    return model(*x.positional, **x.keywords) if isinstance(x, ModelInputs) else model(x)


def _drops_samples(model: nn.Module, returned: Any, x: Inputs) -> bool:
    """Whether the output for one sample has no dimension of samples, as after ``squeeze()``."""
    if not isinstance(returned, Tensor) or returned.dim() != 1:
        return False
    try:
        alone = _passed(model, own_copy(x[:1]))
    except RAISED_BY_USER_CODE:
        return False
    return isinstance(alone, Tensor) and alone.dim() == 0


def _makes_positions(model: nn.Module, x: Inputs) -> bool:
    """Whether a network numbers the positions of all samples alike, so that giving it the numbers changes nothing."""
    if not isinstance(x, ModelInputs) or not names(model, "position_ids") or "position_ids" in x.keywords:
        return False
    tokens = x.keywords.get("input_ids")
    if not isinstance(tokens, Tensor) or tokens.dim() != 2:
        return False
    try:
        plain, numbered = (AdaptedModel(model, with_positions=given)(x) for given in (False, True))
    except RAISED_BY_USER_CODE:
        return False
    return isinstance(plain, Tensor) and torch.allclose(
        plain, numbered, rtol=1e-6, atol=1e-6 * float(plain.abs().max())
    )
