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
"""The pages for people."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client


def _password(client: Client) -> str:
    return f"Basic {base64.b64encode(f'me:{client.air.token}'.encode()).decode()}"


def _page(client: Client, path: str, **headers: str) -> str:
    answer = client.send("GET", path, Authorization=_password(client), **headers)
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_the_page_of_a_run(air: LocalAirRuntime, client: Client) -> None:
    """The run page URL opens a page with state, attempts, log, configuration, body and metrics."""
    air.on("demo").fails(logs=["first try"]).succeeds(
        logs=["loss 0.5"], metrics={"loss": [1.0, 0.5, 0.25]}, params={"lr": 0.1}
    )
    client.put_file(f"{HOME}/demo/training_config.yaml", "experiment_name: demo\n")
    owner = '{"airflow": "http://here:8080", "dag_id": "nightly", "task_id": "train", "map_index": 3, "run_id": "one"}'
    client.put_file(f"{HOME}/demo/airflow_owner.json", owner)
    run = client.wait(client.submit(max_retries=1))

    page = _page(client, run["run_page_url"].removeprefix(air.url))

    for text in (
        "first try",
        "loss 0.5",
        "experiment_name: demo",
        "nightly.train[3], Dag run one at http://here:8080",
        "<polyline",
        ">loss<",
        "SUCCESS",
        "FAILED",
    ):
        assert text in page
    assert "Cancel run" not in page
    assert f"/jobs/runs/{run['run_id']}" in _page(client, "/")
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=run["tasks"][1]["run_id"]).json
    ids = output["ai_runtime_task_output"]
    link = f"/ml/experiments/{ids['mlflow_experiment_id']}/runs/{ids['mlflow_run_id']}/artifacts/logs/node_0"
    moved = client.send("GET", link, Authorization=_password(client))
    assert (303, f"/jobs/runs/{run['run_id']}") == (moved.status, moved.headers["Location"])


def test_files_of_a_run(client: Client) -> None:
    """The page lists the artifacts of the last attempt; they are shown as text or kept, never run."""
    client.air.on("demo").succeeds(logs=["<b>a line</b>"])
    run_id = client.submit()
    run = client.wait(run_id)
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=run["tasks"][0]["run_id"]).json
    mlflow_run = output["ai_runtime_task_output"]["mlflow_run_id"]
    target = {"run_id": mlflow_run, "path": ["a page.html"]}
    made = client.send("POST", "/api/2.0/mlflow/artifacts/credentials-for-write", target).json
    url = made["credential_infos"][0]["signed_uri"].removeprefix(client.air.url)
    assert client.send("PUT", url, b"<script>alert(1)</script>", Authorization="").status == 200

    page = _page(client, f"/jobs/runs/{run_id}")
    links = re.findall(r"href='(/jobs/runs/\d+/artifacts/[^']+)'", page)

    log, html = (client.send("GET", link, Authorization=_password(client)) for link in links)
    assert (log.body, log.headers["Content-Type"]) == (b"<b>a line</b>\n", "text/plain; charset=utf-8")
    assert html.headers["Content-Disposition"] == "attachment; filename*=UTF-8''a%20page.html"
    assert all(answer.headers["Content-Security-Policy"].startswith("sandbox") for answer in (log, html))
    for wrong in ("nothing", "../a", "..%2F..%2Fstate.db", ""):
        answer = client.send(
            "GET", f"{links[0].partition('logs')[0]}{wrong}", Authorization=_password(client)
        )
        assert answer.status in {400, 404}, wrong


def test_the_list(client: Client) -> None:
    """The list says how many runs are in which state, what they run on and why they wait or failed."""
    assert "No runs yet" in _page(client, "/")
    client.air.on("waits").waits(status="Waiting for GPU compute capacity")
    client.air.on("fails").fails(message="GPU fell off the bus")
    client.submit(name="waits", accelerator="GPU_8xH100", count=16)
    for _ in range(2):
        client.wait(client.submit(name="fails"))

    page = _page(client, "/")

    for text in (
        "FAILED</span> 2<",
        "PENDING</span> 1<",
        "16 × H100, 2 nodes",
        "Waiting for GPU compute capacity",
    ):
        assert text in page
    assert page.count("GPU fell off the bus") == 2


def test_what_a_run_prints_is_text(client: Client) -> None:
    """Nothing of a run becomes markup: its lines, its names, its configuration."""
    evil = "<script>alert(1)</script>"
    client.put_file(f"{HOME}/demo/training_config.yaml", f"x: '{evil}'")
    client.air.on("demo").fails(message=evil, logs=[evil], metrics={evil: 1.0})
    run_id = client.submit(air={"mlflow_run": evil})
    client.wait(run_id)

    page = _page(client, f"/jobs/runs/{run_id}")

    assert evil not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert page.count("<script>") == 1


def test_the_button_cancels(client: Client) -> None:
    """The form of the page cancels the run; without the page's key it does not."""
    client.air.on("demo").hangs()
    run_id = client.submit()
    path = f"/jobs/runs/{run_id}/cancel"
    key = re.search(r"name=key value='(\w+)'", _page(client, f"/jobs/runs/{run_id}"))
    assert key is not None

    assert client.send("POST", path, "key=guessed", Authorization=_password(client)).status == 403
    assert client.air.runs_alive
    assert client.send("POST", path, f"key={key[1]}", Authorization=_password(client)).status == 303

    assert client.wait(run_id)["state"]["result_state"] == "CANCELED"


def test_a_foreign_name_is_refused(client: Client) -> None:
    """A browser that was led here under another name gets nothing."""
    assert client.send("GET", "/", Host="evil.example", Authorization="").status == 403


def test_a_server_for_others_asks_for_the_token(tmp_path: Path) -> None:
    """Off the loopback address the pages need the token as a password."""
    with LocalAirRuntime(tmp_path, host="0.0.0.0") as air:
        client = Client(air)
        answer = client.send("GET", "/", Authorization="")
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Basic")
        password = base64.b64encode(f"me:{air.token}".encode()).decode()
        assert client.send("GET", "/", Authorization=f"Basic {password}").status == 200


def test_an_unknown_run_has_a_page_too(client: Client) -> None:
    """The page of a run that does not exist says so."""
    answer = client.send("GET", "/jobs/runs/5", Authorization=_password(client))

    assert (answer.status, b"Run 5 does not exist." in answer.body) == (404, True)


def test_many_metrics_and_a_long_line(client: Client) -> None:
    """Six plots are open and the others folded; of a very long line the beginning is shown."""
    metrics = {f"m{number}": [1.0, 2.0] for number in range(8)}
    client.air.on("demo").succeeds(logs=["x" * 5000], metrics=metrics)
    run_id = client.submit()
    client.wait(run_id)

    page = _page(client, f"/jobs/runs/{run_id}")

    assert page.partition("2 more metrics")[0].count("<polyline") == 6
    assert page.count("<polyline") == 8
    assert "x … 4,000 more characters" in page


def test_a_red_run_says_why_at_its_top(client: Client) -> None:
    """The node that failed, its last lines and its exit code stand above everything else."""
    run_id = client.submit(
        'for n in $(seq 30); do echo "line $n of $NODE_RANK"; done; if (( NODE_RANK == 1 )); then exit 3; fi; sleep 30',
        count=2,
    )
    client.wait(run_id)

    page = _page(client, f"/jobs/runs/{run_id}")

    top = page.partition("<h2>Attempts")[0]
    assert "Exit code 3: the last lines of node 1" in top
    assert "ERROR: Script failed with exit code 3" in top
    assert "line 30 of 1" in top
    assert "line 5 of 1" not in top
    assert "seq 30" in page.partition("<h2>Command")[2]


def test_a_whole_log_can_be_kept(client: Client) -> None:
    """The page shows the newest lines of a node and leads to all of them, as text."""
    run_id = client.submit("seq 5000; echo '<b>'")
    client.wait(run_id)
    page = _page(client, f"/jobs/runs/{run_id}")
    link = re.search(r"href='(/jobs/runs/\d+/logs/0/0.txt)'", page)
    assert link is not None

    whole = client.send("GET", link[1], Authorization=_password(client))

    assert whole.body.decode().splitlines() == [*map(str, range(1, 5001)), "<b>"]
    assert whole.headers["Content-Type"].startswith("text/plain")
    assert client.send("GET", link[1].replace("/0/0", "/1/0"), Authorization=_password(client)).status == 404
    assert client.send("GET", link[1], Authorization="").status == 401


def test_artifacts_of_every_attempt_are_counted(client: Client) -> None:
    """Each attempt has its files, more than are shown are counted right, and attempts are counted from 1."""
    client.air.on("demo").fails(logs=["one"]).succeeds(logs=["two"])
    run = client.wait(client.submit(max_retries=1))
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=run["tasks"][1]["run_id"]).json
    mlflow_run = output["ai_runtime_task_output"]["mlflow_run_id"]
    names = [f"f/{number}" for number in range(300)]
    target = {"run_id": mlflow_run, "path": names}
    made = client.send("POST", "/api/2.0/mlflow/artifacts/credentials-for-write", target).json
    for info in made["credential_infos"]:
        client.send("PUT", info["signed_uri"].removeprefix(client.air.url), b"x", Authorization="")

    page = _page(client, f"/jobs/runs/{run['run_id']}")

    assert "The first 200 of 301 files" in page
    assert "Artifacts of attempt 1" in page
    assert "Log of attempt 2" in page
    assert "attempt 0" not in page
    experiment = output["ai_runtime_task_output"]["mlflow_experiment_id"]
    assert f"href='/ml/experiments/{experiment}'" in page


def test_the_list_can_be_narrowed(client: Client) -> None:
    """By a part of the experiment's name, by state, and by experiment; long lists have pages."""
    client.air.on("bad*").fails()
    runs = {name: client.wait(client.submit(name=name)) for name in ("good-1", "bad-1", "bad-2")}

    by_name = _page(client, "/?experiment=bad")
    assert (by_name.count(">bad-"), by_name.count(">good-")) == (2, 0)
    by_state = _page(client, "/?state=SUCCESS")
    assert (by_state.count("<td>bad-"), by_state.count("<td>good-")) == (0, 1)
    before = _page(client, f"/?before={runs['bad-2']['run_id']}")
    assert (before.count("<td>bad-2"), before.count("<td>bad-1")) == (0, 1)
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=runs["bad-1"]["tasks"][0]["run_id"]).json
    experiment = output["ai_runtime_task_output"]["mlflow_experiment_id"]
    only = _page(client, f"/ml/experiments/{experiment}")
    assert (only.count("<td>bad-1"), only.count("<td>bad-2")) == (1, 0)


def test_a_spike_stays_in_a_plot(client: Client) -> None:
    """One value among many thousands is drawn, although not every point is."""
    from databricks_air_local.page.plot import plot

    drawn = plot([(step, 100.0 if step == 3333 else 1.0) for step in range(20_000)])

    assert ",12.0" in drawn  # the top of the plot
    assert drawn.count(",") < 3000


def test_the_whole_log_can_be_searched(client: Client) -> None:
    """Lines of anywhere in a log are found by a part of them, whatever the case, each with its number."""
    run_id = client.submit("seq 5000; echo 'Loss: <nan>'; seq 3")
    client.wait(run_id)

    page = _page(client, f"/jobs/runs/{run_id}/logs/0/0?search=loss")

    assert "1 line of 5,004" in page
    assert "5,001</span>  Loss: &lt;nan&gt;" in page
    assert "1,000 shown" in _page(client, f"/jobs/runs/{run_id}/logs/0/0?search=")
    missing = client.send("GET", f"/jobs/runs/{run_id}/logs/0/7?search=x", Authorization=_password(client))
    assert missing.status == 404


def test_metrics_of_every_attempt(client: Client) -> None:
    """Each attempt has its plots, and all can have decades."""
    client.air.on("demo").fails(metrics={"loss": [8.0, 4.0]}).succeeds(
        metrics={"loss": [1000.0, 1.0], "end": 3}
    )
    run = client.wait(client.submit(max_retries=1))

    linear = _page(client, f"/jobs/runs/{run['run_id']}")
    decades = _page(client, f"/jobs/runs/{run['run_id']}?scale=log")

    assert "Metrics of attempt 2" in linear
    assert linear.count("<polyline") == 2
    assert ">500<" in linear
    assert ">500<" not in decades
    assert ">100<" in decades


def test_the_page_of_a_tests_author(client: Client) -> None:
    """Requests, faults, behaviours, runs that wait and the clock stand on one page; a button releases a run."""
    air = client.air
    air.add_fault("*/jobs/runs/cancel", status=429, skip=1, times=2)
    air.on("demo").waits().succeeds()
    run_id = client.submit()
    client.wait(run_id, lambda _: f"value='{run_id}'" in _page(client, "/script"))

    page = _page(client, "/script")

    assert "Real clock" in page
    assert "main.default.data" in page
    assert "status 429" in page
    assert "POST /api/2.2/jobs/runs/submit" in page
    assert "0 of 2" in page
    assert "/jobs/runs/submit" not in _page(client, "/script?path=*/scim/*")
    assert client.air.token not in page
    key = page.partition("name=key value='")[2].partition("'")[0]
    for form, status in ((f"key=wrong&run_id={run_id}", 403), (f"key={key}&run_id={run_id}", 303)):
        answer = client.send("POST", "/script/release", form, Authorization=_password(client))
        assert answer.status == status
    assert client.wait(run_id)["state"]["result_state"] == "SUCCESS"
