# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#   http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing,
# software distributed under the License is distributed on an
# "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY
# KIND, either express or implied.  See the License for the
# specific language governing permissions and limitations
# under the License.
"""The best of a sweep."""

from __future__ import annotations

from typing import Any

import pytest

from airflow.providers.databricks_air.operators.templates import LONGEST_NAME, map_name
from airflow.providers.databricks_air.sweep import best_of


def results(*values: Any) -> list[dict[str, Any]]:
    """Return results with these losses."""
    return [{"run_id": number, "metrics": {"loss": value}} for number, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "mode", "best"),
    [
        ((0.5, 0.2, 0.9), "min", 1),
        ((0.5, 0.2, 0.9), "max", 2),
        ((0.2, 0.2), "min", 0),
        ((float("nan"), None, "x", True, 7), "min", 4),
        ((float("inf"), 3), "max", 0),
    ],
)
def test_the_best_result_is_returned(values: tuple[Any, ...], mode: Any, best: int) -> None:
    """The best number wins, the first of equals; what is no number is left out."""
    assert best_of(iter(results(*values)), "loss", mode)["run_id"] == best


def test_no_result_with_the_metric_is_an_error() -> None:
    """Without any number for the metric the error names what there is."""
    with pytest.raises(
        ValueError, match="no result has a number for 'accuracy'; the metrics there are: loss"
    ):
        best_of(results(1.0, 2.0), "accuracy")
    with pytest.raises(ValueError, match="the metrics there are: none"):
        best_of([{"run_id": 1}], "loss")
    with pytest.raises(ValueError, match="'least' is neither 'min' nor 'max'"):
        best_of(results(1.0), "loss", "least")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ({"parameters.lr": 0.1, "compute.num_accelerators": 16}, "lr=0.1, num_accelerators=16"),
        (["parameters.lr=0.1", "mlflow_run_name = x=y"], "lr=0.1, mlflow_run_name=x=y"),
        ({"parameters.a.lr": 1, "parameters.b.lr": 2}, "parameters.a.lr=1, parameters.b.lr=2"),
        (None, ""),
        ({}, ""),
        ("parameters.lr=1", ""),
    ],
)
def test_a_mapped_task_is_named_after_its_overrides(overrides: Any, name: str) -> None:
    """The name has the last part of each path, or all of it where that is not enough to tell two apart."""
    assert map_name(overrides) == name


def test_a_long_name_is_cut() -> None:
    """A name is no longer than what every version of Airflow keeps."""
    assert len(map_name({"parameters.text": "x" * 1000})) == LONGEST_NAME
