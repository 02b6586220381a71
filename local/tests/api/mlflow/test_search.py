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
"""Searching MLflow's runs and experiments, with the filters that its clients write."""

from __future__ import annotations

from typing import Any

import pytest

from wire import Client

API = "/api/2.0/mlflow"


def _make(client: Client) -> str:
    """Make an experiment with three runs: the losses are 0.5, 0.1 and none at all."""
    experiment = client.send("POST", f"{API}/experiments/create", {"name": "/Users/me/e"}).json[
        "experiment_id"
    ]
    for number, (name, loss) in enumerate((("first", 0.5), ("second", 0.1), ("third", None))):
        made = {"experiment_id": experiment, "run_name": name, "start_time": 1000 + number}
        run_id = client.send("POST", f"{API}/runs/create", made).json["run"]["info"]["run_id"]
        batch: dict[str, Any] = {"run_id": run_id, "params": [{"key": "model", "value": f"Tree_{number}"}]}
        batch["tags"] = [{"key": "my tag", "value": "it's 100%" if number else "plain"}]
        batch["metrics"] = (
            [] if loss is None else [{"key": "val/loss", "value": loss, "timestamp": 1, "step": 2}]
        )
        assert client.send("POST", f"{API}/runs/log-batch", batch).status == 200
        if number == 1:
            client.send(
                "POST", f"{API}/runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": 2000}
            )
    return str(experiment)


def _names(client: Client, experiment: str, **search: Any) -> list[str]:
    answer = client.send("POST", f"{API}/runs/search", {"experiment_ids": [experiment], **search})
    assert answer.status == 200, answer.body
    return [run["info"]["run_name"] for run in answer.json["runs"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "third second first"),
        ("  ", "third second first"),
        ("metrics.`val/loss` > 0.2", "first"),
        ('metric."val/loss" <= 1e0 and status = "FINISHED"', "second"),
        ("metrics.`val/loss` != 0.5", "second"),
        ("params.model = 'Tree_0'", "first"),
        ("params.model LIKE 'Tree%' AND params.model != 'Tree_2'", "second first"),
        ("parameters.model like 'tree%'", ""),
        ("params.model ILIKE 'tree__'", "third second first"),
        ("""tags.`my tag` = "it's 100%" """, "third second"),
        ("tags.mlflow.runName = 'third'", "third"),
        ("attributes.run_name IN ('first', \"third\")", "third first"),
        ("run_name NOT IN ('first')", "third second"),
        ("attribute.`Run name` = 'second'", "second"),
        ("start_time >= 1001 AND end_time<2001", "second"),
        ("tags.nothing != 'x'", ""),
    ],
)
def test_filters(client: Client, text: str, expected: str) -> None:
    """A filter finds the runs that MLflow's own server finds, the newest first."""
    assert _names(client, _make(client), filter=text) == expected.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("metrics.loss > 0.5 OR metrics.loss < 0.1", "Invalid clause in filter at 'metrics.loss > 0.5 OR"),
        ("params.model = Tree", "the text Tree must stand in quotes"),
        ("metrics.loss > 'high'", "'high' must be a number"),
        ("metrics.loss LIKE '1%'", "LIKE cannot compare metrics"),
        ("params.model > '1'", "> cannot compare params"),
        ("params.model IN ('a')", "IN cannot compare params"),
        ("run_id = ('a')", "IN and NOT IN need a list"),
        ("colour = 'red'", "attribute 'colour' is not one of artifact_uri, end_time"),
        ("dataset.name = 'x'", "'dataset' is not one of metrics, params, tags, attributes"),
        ("metrics.loss > 1 AND", "Invalid clause in filter at ''"),
        ("metrics.val/loss > 1", "Invalid clause"),
        ("run_id IN ('a'" + " " * 50, "Invalid clause"),
    ],
)
def test_a_wrong_filter_is_explained(client: Client, text: str, words: str) -> None:
    """What cannot be searched is a 400 that quotes the clause and says what would do."""
    answer = client.send("POST", f"{API}/runs/search", {"experiment_ids": ["1"], "filter": text})

    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert words in answer.json["message"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["metrics.`val/loss` ASC"], "second first third"),
        (["metrics.`val/loss` desc"], "first second third"),
        (["params.model"], "first second third"),
        (["attributes.status", "start_time ASC"], "second first third"),
        (["tags.`my tag` ASC", "run_name DESC"], "third second first"),
    ],
)
def test_orders(client: Client, order: list[str], expected: str) -> None:
    """Orders apply one after the other; runs without the value come last."""
    assert _names(client, _make(client), order_by=order) == expected.split()


def test_a_wrong_order_is_explained(client: Client) -> None:
    """An order that cannot be is a 400 that quotes it."""
    for order in ("metrics.loss UP", "size", "", "metrics."):
        answer = client.send("POST", f"{API}/runs/search", {"order_by": [order]})
        assert (answer.status, repr(order) in answer.json["message"]) == (400, True)


def test_pages(client: Client) -> None:
    """Pages follow each other; each but the last names the next."""
    search: dict[str, Any] = {"experiment_ids": [_make(client)], "max_results": 2}

    first = client.send("POST", f"{API}/runs/search", search).json
    second = client.send(
        "POST", f"{API}/runs/search", {**search, "page_token": first["next_page_token"]}
    ).json

    assert [run["info"]["run_name"] for run in first["runs"] + second["runs"]] == ["third", "second", "first"]
    assert "next_page_token" not in second
    for wrong in ({"max_results": 50_001}, {"max_results": -1}, {"page_token": "x"}, {"page_token": "-1"}):
        assert client.send("POST", f"{API}/runs/search", {**search, **wrong}).status == 400


def test_deleted_runs_are_searched_apart(client: Client) -> None:
    """A deleted run is found where deleted runs are asked for, until it is restored."""
    experiment = _make(client)
    run = client.send("POST", f"{API}/runs/search", {"experiment_ids": [experiment]}).json["runs"][0]["info"]

    assert client.send("POST", f"{API}/runs/delete", {"run_id": run["run_id"]}).status == 200
    assert _names(client, experiment) == ["second", "first"]
    assert _names(client, experiment, run_view_type="DELETED_ONLY") == ["third"]
    assert len(_names(client, experiment, run_view_type="ALL")) == 3
    client.send("POST", f"{API}/runs/restore", {"run_id": run["run_id"]})
    assert len(_names(client, experiment)) == 3


def test_experiments(client: Client) -> None:
    """Experiments are searched by name and tag, with GET and with POST."""
    made = {}
    for name in ("alpha", "beta"):
        answer = client.send("POST", f"{API}/experiments/create", {"name": f"/Users/me/{name}"})
        made[name] = answer.json["experiment_id"]
    tag = {"experiment_id": made["beta"], "key": "team", "value": "red"}
    client.send("POST", f"{API}/experiments/set-experiment-tag", tag)

    found = client.send("POST", f"{API}/experiments/search", {"filter": "name LIKE '%alpha'"}).json
    tagged = client.get(f"{API}/experiments/search", filter="tags.team = 'red'", max_results=5).json
    ordered = client.send("POST", f"{API}/experiments/search", {"order_by": ["name DESC"]}).json
    refused = client.get(f"{API}/experiments/search", filter="metrics.loss > 1")

    assert [item["experiment_id"] for item in found["experiments"]] == [made["alpha"]]
    assert [item["experiment_id"] for item in tagged["experiments"]] == [made["beta"]]
    assert [item["name"] for item in ordered["experiments"]] == ["/Users/me/beta", "/Users/me/alpha"]
    assert refused.status == 400


def test_a_tag_can_go(client: Client) -> None:
    """A tag that was deleted is found no more; one that never was is a 404."""
    experiment = _make(client)
    run = client.send("POST", f"{API}/runs/search", {"experiment_ids": [experiment]}).json["runs"][0]["info"]
    tag = {"run_id": run["run_id"], "key": "my tag"}

    assert client.send("POST", f"{API}/runs/delete-tag", tag).status == 200
    assert client.send("POST", f"{API}/runs/delete-tag", tag).status == 404
    assert _names(client, experiment, filter="tags.`my tag` LIKE '%'") == ["second", "first"]
