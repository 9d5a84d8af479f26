"""Studies: data, network and settings in, a record of measured and predicted power laws out."""

from critlearn._torch import torch  # noqa: F401
from critlearn.analysis.run_folder import read_run, write_run
from critlearn.studies.config import ClassesConfig, NetworkConfig, RunConfig, ToyConfig, TwoClassConfig
from critlearn.studies.datasets.class_data import ClassData
from critlearn.studies.datasets.loading import load_data
from critlearn.studies.ensemble import run_ensemble
from critlearn.studies.network import run_network
from critlearn.studies.sweep.engines.ray_cluster import Resources
from critlearn.studies.sweep.engines.ray_measurement import measure_on_ray
from critlearn.studies.sweep.results.table import load_results
from critlearn.studies.sweep.study.reading import load_studies, load_study
from critlearn.studies.sweep.study.schema import Study, study_schema
from critlearn.studies.toy import run_toy
from critlearn.studies.two_class import run_classes, run_two_class

__all__ = [
    "ClassData",
    "ClassesConfig",
    "NetworkConfig",
    "Resources",
    "RunConfig",
    "Study",
    "ToyConfig",
    "TwoClassConfig",
    "load_data",
    "load_results",
    "load_studies",
    "load_study",
    "measure_on_ray",
    "read_run",
    "run_classes",
    "run_ensemble",
    "run_network",
    "run_toy",
    "run_two_class",
    "study_schema",
    "write_run",
]
