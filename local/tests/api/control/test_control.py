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
"""Faults, behaviours, the journal and time: what tests of others rest on."""

from __future__ import annotations

import time
from http.client import HTTPException, IncompleteRead
from typing import TYPE_CHECKING

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.script.scenario import Scenario
from wire import HOME, Client

if TYPE_CHECKING:
    from pathlib import Path

SUBMIT = "/api/2.2/jobs/runs/submit"
GET = "/api/2.2/jobs/runs/get"


@pytest.fixture
def body(client: Client) -> dict[str, object]:
    """Return a submit body whose command is there."""
    client.put_file(f"{HOME}/demo/command.sh", "true")
    return client.submit_body(idempotency_token="t")


def test_a_lost_answer_does_the_work(air: LocalAirRuntime, client: Client, body: dict[str, object]) -> None:
    """The run exists although the client never heard of it, and its token finds it."""
    air.lose_answer("*/jobs/runs/submit")

    with pytest.raises(ConnectionError):
        client.send("POST", SUBMIT, body)

    assert air.runs_created == 1
    assert air.runs()[0]["run_id"] == client.send("POST", SUBMIT, body).json["run_id"]
    assert [request.fault for request in air.requests("POST", SUBMIT)] == ["reset", ""]


def test_a_status_before_the_work(air: LocalAirRuntime, client: Client, body: dict[str, object]) -> None:
    """A fault before the work leaves nothing behind; skip and times say which requests it is about."""
    air.add_fault(
        "*/submit", status=429, error_code="REQUEST_LIMIT_EXCEEDED", headers={"Retry-After": "2"}, times=2
    )

    answers = [client.send("POST", SUBMIT, body) for _ in range(3)]

    assert [answer.status for answer in answers] == [429, 429, 200]
    assert (
        answers[0].headers["Retry-After"],
        answers[0].json["error_code"],
    ) == ("2", "REQUEST_LIMIT_EXCEEDED")
    assert air.runs_created == 1


def test_skip_lets_requests_through(air: LocalAirRuntime, client: Client) -> None:
    """The first matching requests pass, the next one does not."""
    air.add_fault("/api/2.0/preview/scim/v2/Me", method="GET", skip=2, status=500)

    statuses = [client.get("/api/2.0/preview/scim/v2/Me").status for _ in range(4)]

    assert statuses == [200, 200, 500, 200]
    assert (air.faults()[0]["seen"] + 1, air.faults()[0]["fired"]) == (4, 1)


@pytest.mark.parametrize(
    ("then", "error"),
    [("reset", ConnectionError), ("cut", IncompleteRead), ("garbage", ValueError)],
)
def test_broken_answers(air: LocalAirRuntime, client: Client, then: str, error: type[Exception]) -> None:
    """The connection is reset, the answer is cut in half, or it is no JSON."""
    air.add_fault("*/Me", then=then)

    with pytest.raises(error):
        _ = client.get("/api/2.0/preview/scim/v2/Me").json

    assert client.get("/api/2.0/preview/scim/v2/Me").status == 200


def test_delay_and_hang(air: LocalAirRuntime, client: Client) -> None:
    """An answer can come late."""
    air.add_fault("*/Me", then="answer", delay=0.3)
    started = time.monotonic()

    assert client.get("/api/2.0/preview/scim/v2/Me").status == 200
    assert time.monotonic() - started >= 0.3


def test_a_wrong_fault_is_refused(air: LocalAirRuntime) -> None:
    """The message names the field, the value and what is allowed."""
    with pytest.raises(ValueError, match="fault field 'then': 'explode' is not one of answer, status, reset"):
        air.add_fault("*", then="explode")
    with pytest.raises(ValueError, match="fault field 'skip': 'x' must be of type int"):
        air.add_fault("*", skip="x")
    with pytest.raises(ValueError, match="fault field 'wen': not one of path"):
        air.add_fault("*", wen=1)


def test_tokens(air: LocalAirRuntime, client: Client) -> None:
    """No token is 401, an unknown one 403, an expired one 401 until it is renewed."""
    me = "/api/2.0/preview/scim/v2/Me"

    assert client.send("GET", me, Authorization="").status == 401
    assert client.send("GET", me, Authorization="Bearer wrong").status == 403
    air.expire_tokens()
    assert client.get(me).status == 401
    air.renew_token()
    assert client.get(me).status == 200
    fresh = air.issue_token(0.2)
    assert client.send("GET", me, Authorization=f"Bearer {fresh}").status == 200
    time.sleep(0.25)
    assert client.send("GET", me, Authorization=f"Bearer {fresh}").status == 401


def test_the_journal_tells_everything_but_secrets(air: LocalAirRuntime, client: Client) -> None:
    """Method, path, query, body and time of each request; never the token."""
    client.send("POST", "/api/2.0/workspace/mkdirs", {"path": "/Users/x"})
    client.get(GET, run_id=5)

    made, asked = air.requests()

    assert (
        made.method,
        made.path,
        made.json(),
    ) == ("POST", "/api/2.0/workspace/mkdirs", {"path": "/Users/x"})
    assert (asked.query["run_id"], asked.status) == (["5"], 400)
    assert abs(asked.time - time.time()) < 30
    assert air.token not in repr([made, asked])
    assert [asked] == air.requests(path="*/runs/get", after=made.number)


def test_scripted_runs_need_no_process(air: LocalAirRuntime, client: Client) -> None:
    """What each attempt does can be said; the last one stands for all that follow."""
    air.on("demo").fails(message="GPU fell off", logs=["attempt one"]).succeeds(
        after=0.1, logs=["attempt two"]
    )

    run_id = client.submit("exit 99", max_retries=1)
    run = client.wait(run_id)

    assert [task["state"]["result_state"] for task in run["tasks"]] == ["FAILED", "SUCCESS"]
    assert run["tasks"][0]["state"]["state_message"] == "GPU fell off"
    first = client.logs(run_id, **{"ref.attempt_number": 0})
    assert (first[0], len(first)) == ("attempt one", 2)
    assert first[1].startswith("ERROR: Script failed with exit code 1 after ")
    assert client.logs(run_id) == ["attempt two"]
    assert client.wait(client.submit("true", name="other"))["state"]["result_state"] == "SUCCESS"


def test_waiting_for_a_gpu(air: LocalAirRuntime, client: Client) -> None:
    """A run can be QUEUED, then PENDING with a server message, until it is released."""
    message = "Waiting for GPU compute capacity to become available."
    air.on("demo").waits(0.3, state="QUEUED", message="queue full").waits(status=message).succeeds()

    run_id = client.submit()
    queued = client.run(run_id)
    assert (queued["state"]["life_cycle_state"], queued["state"]["queue_reason"]) == ("QUEUED", "queue full")
    pending = client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "PENDING")
    output = client.get("/api/2.2/jobs/runs/get-output", run_id=pending["tasks"][0]["run_id"]).json
    assert {"status_message": f"STATUS:{message}"} == output["ai_runtime_task_output"]
    assert [run_id] == air.runs_alive
    air.release(run_id)
    assert client.wait(run_id)["state"]["result_state"] == "SUCCESS"


def test_one_failing_attempt_of_a_real_command(air: LocalAirRuntime, client: Client) -> None:
    """Attempt 0 fails by script, attempt 1 executes the command."""
    air.on("demo").fails(exit_code=137).executes()

    run_id = client.submit("echo real", max_retries=1)

    assert client.wait(run_id)["state"]["result_state"] == "SUCCESS"
    assert client.logs(run_id) == ["real"]


def test_unknown_states(air: LocalAirRuntime, client: Client) -> None:
    """States that no client knows yet can be shown."""
    air.on("demo").ends("EVAPORATED", after=0.3, state="SUBLIMATING")

    run_id = client.submit()

    assert client.wait(run_id, lambda run: run["state"]["life_cycle_state"] == "SUBLIMATING")
    assert client.wait(run_id)["state"]["result_state"] == "EVAPORATED"


def test_records_late_twice_and_out_of_order(air: LocalAirRuntime, client: Client) -> None:
    """Records can be delivered twice with one id, in another order, and late with their old time."""
    air.spoil_logs(duplicate_every=3, disorder_every=2, late_every=5, late=1.0)
    air.on("demo").succeeds(logs=[f"line {n}" for n in range(10)])

    run_id = client.submit()
    client.wait(run_id)

    early = client.logs(run_id)
    assert {"line 4", "line 9"} == {f"line {n}" for n in range(10)} - set(early)
    assert early.count("line 2") == 2
    assert sorted(early) != early
    deadline = time.monotonic() + 5
    while len(set(client.logs(run_id))) < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
    page = client.get(f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs").json["log_records"]
    assert 10 == len({record["record_id"] for record in page}) < len(page)


def test_a_line_with_a_time_of_its_own(air: LocalAirRuntime, client: Client) -> None:
    """A test can write a record that is older than those that were read."""
    run_id = client.submit("echo now")
    client.wait(run_id)

    air.log(run_id, "from the past", at=time.time() - 60)

    page = client.get(f"/api/2.0/ai-training/workflows/by-run-id/{run_id}/logs").json["log_records"]
    assert [record["body"] for record in page] == ["now", "from the past"]
    assert page[1]["time_unix_nano"] < page[0]["time_unix_nano"]


def test_ten_hours_take_no_time() -> None:
    """On a virtual clock a wait lasts until the test moves the time."""
    with LocalAirRuntime(clock="virtual") as air:
        client = Client(air)
        air.on("demo").waits(10 * 3600).succeeds()
        run_id = client.submit()
        created = client.run(run_id)["start_time"]
        air.advance(9.99 * 3600)
        assert client.run(run_id)["state"]["life_cycle_state"] == "PENDING"
        air.advance(0.01 * 3600 + 1)
        run = client.wait(run_id)

        assert 36_000_000 <= run["end_time"] - created < 36_100_000


def test_config_errors(air: LocalAirRuntime, client: Client) -> None:
    """config:validate accepts everything until a test says otherwise."""
    path = "/api/2.0/ai-training/config:validate"
    assert client.send("POST", path, {"task": {}}).json == {}

    air.refuse_config({"path": "task.experiment", "message": "is taken", "code": "INVALID"})

    assert client.send("POST", path, {"task": {}}).json["errors"][0]["message"] == "is taken"
    assert client.send("POST", path, {"unknown": {}}).json["error_code"] == "MALFORMED_REQUEST"


def test_a_scenario_file(tmp_path: Path) -> None:
    """``--faults FILE`` holds faults, behaviours and log faults; mistakes in it are named."""
    file = tmp_path / "faults.yaml"
    file.write_text(
        "faults:\n- {path: '*/Me', status: 503}\n"
        "behaviours:\n- {experiment: demo, attempts: [{outcome: FAILED, after: 0}]}\n"
    )
    with LocalAirRuntime(scenario=Scenario.load(file)) as air:
        client = Client(air)
        assert client.get("/api/2.0/preview/scim/v2/Me").status == 503
        assert client.wait(client.submit())["state"]["result_state"] == "FAILED"

    file.write_text("behaviours: [{experiment: demo, attempts: [{outcom: FAILED}]}]")
    with pytest.raises(ValueError, match="attempt field 'outcom': not one of hold, outcome"):
        Scenario.load(file)


def test_an_unknown_route_is_loud(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """A route that does not exist answers 404 and shows in the server's log, without what was sent."""
    answer = client.send("POST", "/api/2.0/clusters/create", {"name": "x"})

    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert "UNKNOWN ROUTE POST /api/2.0/clusters/create: " in caplog.text
    assert '"x"' not in caplog.text


def test_client_credentials(air: LocalAirRuntime, client: Client) -> None:
    """An OAuth client gets tokens that expire, with the server's token as its secret."""
    form = f"grant_type=client_credentials&client_id=any&client_secret={air.token}"
    answer = client.send("POST", "/oidc/v1/token", form).json

    token = answer["access_token"]
    me = client.send("GET", "/api/2.0/preview/scim/v2/Me", Authorization=f"Bearer {token}")
    assert (me.status, answer["expires_in"]) == (200, 3600)
    assert client.send("POST", "/oidc/v1/token", form + "x").status == 401


def test_hanging_requests_do_not_hold_the_stop() -> None:
    """A server stops soon although a request was left hanging."""
    with LocalAirRuntime() as air:
        air.add_fault("*/Me", then="hang")
        client = Client(air)
        connection = client.get
        import threading

        thread = threading.Thread(target=lambda: _quietly(connection), daemon=True)
        thread.start()
        while not air.requests(path="*/Me"):
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 5
    thread.join(5)
    assert not thread.is_alive()


def _quietly(get: object) -> None:
    try:
        get("/api/2.0/preview/scim/v2/Me")  # type: ignore[operator]
    except (OSError, HTTPException):
        return
