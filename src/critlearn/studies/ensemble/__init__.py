"""Ensembles: the same run with several seeds, pooled."""

from critlearn.studies.ensemble.training import run_ensemble

__all__ = ["run_ensemble"]
