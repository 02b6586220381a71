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
"""Hypothesis strategies for run configurations: valid ones, nearly valid ones and nonsense."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from airflow.providers.databricks_air.run.config.parts.compute import ACCELERATORS

_ODD = json.loads(Path(__file__).with_name("odd_texts.json").read_text(encoding="utf-8"))

NAMES = st.from_regex(r"[A-Za-z0-9_-]{1,30}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
AWKWARD = st.sampled_from(_ODD["texts"])
SCALARS = st.one_of(TEXTS, AWKWARD, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
BLANK = st.one_of(TEXTS, AWKWARD)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(BLANK | st.integers(), inner, max_size=3),
    max_leaves=8,
)
PRINTABLE = BLANK.filter(lambda text: bool(text.strip()) and len(text.strip()) <= 100)
VARIABLES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,9}", fullmatch=True)


@st.composite
def compute(draw: st.DrawFn) -> dict[str, Any]:
    """Return a valid compute section."""
    kind = draw(st.sampled_from(sorted(ACCELERATORS)))
    section: dict[str, Any] = {
        "accelerator_type": kind,
        "num_accelerators": ACCELERATORS[kind] * draw(st.integers(1, 4)),
    }
    if draw(st.booleans()):
        section["pool_id"] = draw(PRINTABLE)
        if draw(st.booleans()):
            section["priority_class"] = draw(st.sampled_from(["best_effort", "NORMAL", " Critical "]))
    return section


ENVIRONMENTS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "dependencies": st.lists(PRINTABLE, max_size=3),
            "version": st.sampled_from([5, "6", "databricks_ai_v5"]),
        },
    ),
    st.just({"unity_catalog_image": "main.air.training:prod"}),
    st.just({"docker_image": {"url": "docker.io/org/image:1", "tag_policy": "latest"}}),
)
CODE_SOURCES = st.fixed_dictionaries(
    {"root_path": PRINTABLE.filter(lambda text: "\0" not in text)},
    optional={
        "remote_volume": st.just("/Volumes/a/b/c"),
        "include_paths": st.just(["src", "data/x"]),
        "git": st.sampled_from([{"branch": "main"}, {"commit": "abc123"}]),
    },
)
PERMISSIONS = st.lists(
    st.tuples(
        st.sampled_from(["user_name", "group_name", "service_principal_name"]),
        PRINTABLE,
        st.sampled_from(["CAN_VIEW", "IS_OWNER"]),
    ).map(lambda item: {item[0]: item[1], "level": item[2]}),
    max_size=2,
)


@st.composite
def valid(draw: st.DrawFn) -> dict[str, Any]:
    """Return a mapping that the models accept."""
    document = {"experiment_name": draw(NAMES), "compute": draw(compute()), "command": draw(PRINTABLE)}
    optional = st.fixed_dictionaries(
        {},
        optional={
            "environment": ENVIRONMENTS,
            "env_variables": st.dictionaries(VARIABLES.map(lambda name: f"V{name}"), SCALARS, max_size=4),
            "secrets": st.dictionaries(
                VARIABLES.map(lambda name: f"S{name}"), st.just("scope/key"), max_size=2
            ),
            "code_source": CODE_SOURCES | st.none(),
            "max_retries": st.integers(0, 9) | st.just("2"),
            "timeout_minutes": st.integers(1, 999) | st.none(),
            "idempotency_token": NAMES,
            "parameters": st.dictionaries(BLANK, VALUES, max_size=4),
            "mlflow_run_name": NAMES,
            "mlflow_experiment_directory": st.just("/Workspace/Shared/x"),
            "mlflow_artifact_location": st.sampled_from(["/Volumes/a/b/c", "DBFS:/x"]),
            "permissions": PERMISSIONS,
            "usage_policy_name": PRINTABLE,
        },
    )
    return {**document, **draw(optional)}


@st.composite
def broken(draw: st.DrawFn) -> Any:
    """Return a valid mapping with some of its values replaced by anything."""
    document = copy.deepcopy(draw(valid()))  # strategies hand out the same mapping again
    for _ in range(draw(st.integers(1, 4))):
        here: Any = document
        while isinstance(here, dict | list) and here:
            key = draw(st.sampled_from(sorted(here, key=repr))) if isinstance(here, dict) else 0
            if not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
                if isinstance(here, dict) and draw(st.booleans()):
                    here[draw(BLANK)] = here.pop(key)
                else:
                    here[key] = draw(VALUES)
                break
            here = here[key]
    return document


class Opaque:
    """A value that YAML cannot say."""


#: Anything at all, in Python.
NONSENSE = st.one_of(
    VALUES,
    st.recursive(
        st.one_of(
            st.binary(max_size=5),
            st.floats(),
            st.integers(10**4999, 10**5000),
            st.builds(Opaque),
            st.text(max_size=5),
        ),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=3) | st.floats(), inner, max_size=3)
        ),
        max_leaves=6,
    ),
)
#: Text made of what YAML is made of.
YAML_LIKE = st.lists(st.sampled_from(_ODD["pieces of YAML"]), max_size=40).map("".join)
OVERRIDES = st.one_of(
    st.none(),
    st.dictionaries(
        st.one_of(
            st.sampled_from(["compute.num_accelerators", "permissions[0].level", "parameters.a.b"]), BLANK
        ),
        VALUES,
        max_size=2,
    ),
    st.lists(st.one_of(YAML_LIKE, YAML_LIKE.map(lambda text: f"parameters.a={text}"), VALUES), max_size=2),
    VALUES,
)
