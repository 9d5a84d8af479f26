"""Embeddings: each sample moves only the rows that it looks up."""

import torch
from torch import nn

from critlearn.fluctuations.grad_sample.protocol import GradSample
from critlearn.fluctuations.grad_sample.rules.registry import UnsuitableUseError, register, samples_first
from critlearn.fluctuations.grad_sample.sparse_rows import SparseRows
from critlearn.network.backward.layer_use import LayerUse


class EmbeddingRule:
    """Rule for embeddings: a row's gradient is the sum of the errors where it was looked up, else an exact zero."""

    layers = (nn.Embedding,)
    covers_submodules = False

    def grad_samples(self, use: LayerUse) -> dict[str, GradSample]:
        """Gradients of ``weight``."""
        module = use.module
        assert isinstance(module, nn.Embedding)
        if module.scale_grad_by_freq or module.max_norm is not None:
            raise UnsuitableUseError("an embedding that scales gradients or renormalises its table")
        tokens = samples_first(use, use.arguments[0]).reshape(len(use.arguments[0]), -1)
        errors = use.errors[0].reshape(-1, module.embedding_dim)
        samples = torch.arange(len(tokens), device=tokens.device)[:, None].expand_as(tokens)
        # One key for each pair of sample and row: errors of a row that a sample looks up twice are added.
        keys = (samples * module.num_embeddings + tokens).flatten()
        # Torch gives the padding row no gradient.
        if module.padding_idx is not None:
            looked_up = (tokens != module.padding_idx).flatten()
            keys, errors = keys[looked_up], errors[looked_up]
        touched, place = keys.unique(return_inverse=True)
        values = errors.new_zeros(len(touched), module.embedding_dim).index_add_(0, place, errors)
        row, sample = touched % module.num_embeddings, touched // module.num_embeddings
        return {"weight": SparseRows(values, sample, row, module.num_embeddings, len(tokens))}


register(EmbeddingRule())
