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
"""Launches while the network and the server misbehave: exactly one run, or one clear error."""

from __future__ import annotations

import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from airflow.providers.databricks_air.api.http.errors import ApiError, AuthError, ServiceError
from airflow.providers.databricks_air.run.errors import ConfigError, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.story.launch.conftest import Launcher

pytestmark = pytest.mark.plain

REQUESTS = {
    "me": "*/scim/v2/Me",
    "validate": "*/config:validate",
    "directory": "*/workspace/mkdirs",
    "look": "*/workspace/get-status",
    "list": "*/workspace/list",
    "artifact": "*/command.sh",
    "snapshot": "*/import-file/*.tar.gz",
    "submit": "*/jobs/runs/submit",
}
FAULTS: dict[str, dict[str, Any]] = {
    "lost answer": {"then": "reset", "after": True},
    "reset": {"then": "reset"},
    "503 with Retry-After": {"status": 503, "headers": {"Retry-After": "7"}},
    "429": {"status": 429, "error_code": "REQUEST_LIMIT_EXCEEDED", "headers": {"Retry-After": "3"}},
    "500": {"status": 500, "error_code": "INTERNAL_ERROR"},
    "garbage": {"then": "garbage", "after": True},
    "cut": {"then": "cut", "after": True},
    "slow": {"then": "answer", "delay": 0.3},
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_a_fault_that_passes(
    launcher: Launcher, created: Callable[[], int], request_: str, fault: str
) -> None:
    """Whatever happens once to any request, the launch ends with exactly one run, and says its id."""
    launcher.air.add_fault(REQUESTS[request_], **FAULTS[fault])
    run_id = launcher.launch()
    assert launcher.air.faults()[0]["fired"] == 1
    assert created() == 1
    assert launcher.air.runs()[-1]["run_id"] == run_id
    retry_after = float(FAULTS[fault].get("headers", {}).get("Retry-After", 0))
    # The check before the launch has a single try.
    if retry_after and request_ != "validate":
        assert max(launcher.waits) >= retry_after


@pytest.mark.parametrize("request_", sorted(set(REQUESTS) - {"validate"}))
def test_a_fault_that_stays(launcher: Launcher, created: Callable[[], int], request_: str) -> None:
    """When a request never succeeds, there is one error that says what the server said, and no run."""
    launcher.air.add_fault(REQUESTS[request_], times=-1, status=503, message="back on Monday")
    with pytest.raises(ServiceError, match="back on Monday"):
        launcher.launch()
    assert created() == 0


def test_answers_of_submit_are_lost_for_good(launcher: Launcher, created: Callable[[], int]) -> None:
    """When every answer of submit is lost there is one run, and the next launch of the same token finds it."""
    config = launcher.config()
    launcher.air.add_fault(REQUESTS["submit"], times=-1, then="reset", after=True)
    with pytest.raises(ServiceError, match="no answer"):
        launcher.launch(config, token="lost-for-good")
    assert created() == 1
    launcher.air.clear_faults()
    assert launcher.launch(config, token="lost-for-good") == launcher.air.runs()[-1]["run_id"]
    assert created() == 1


@pytest.mark.parametrize(
    ("request_", "name"),
    [("artifact", r"/command\.sh could not"), ("snapshot", r"\.internal/code_\w+\.tar\.gz could not")],
)
def test_refused_file_is_named(
    launcher: Launcher, created: Callable[[], int], request_: str, name: str
) -> None:
    """An upload that is refused is named with its path, and nothing is submitted."""
    launcher.air.add_fault(
        REQUESTS[request_], times=-1, status=403, error_code="PERMISSION_DENIED", message="read only"
    )
    with pytest.raises(AuthError, match=f"{name} be uploaded: read only"):
        launcher.launch()
    assert created() == 0
    assert not launcher.air.requests(path=REQUESTS["submit"])


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "error_code": "FEATURE_DISABLED"},
        {"status": 404, "error_code": "ENDPOINT_NOT_FOUND"},
        {"status": 501},
        {"status": 503},
        {"status": 408},
        {"status": 429},
        {"then": "reset"},
        {"then": "garbage"},
        {
            "status": 400,
            "error_code": "MALFORMED_REQUEST",
            "message": "Cannot find field: environment in message X",
        },
    ],
    ids=str,
)
def test_server_that_cannot_check(
    launcher: Launcher, caplog: pytest.LogCaptureFixture, fault: dict[str, Any]
) -> None:
    """A server that cannot check a configuration is asked once, and the launch goes on with one warning."""
    launcher.air.add_fault(REQUESTS["validate"], times=-1, **fault)
    assert launcher.launch()
    assert len(launcher.air.requests(path=REQUESTS["validate"])) == 1
    assert [record for record in caplog.records if "did not check the configuration" in record.message]


def test_slow_check_is_given_up(launcher: Launcher) -> None:
    """The server's check gets five seconds."""
    launcher.air.add_fault(REQUESTS["validate"], then="hang")
    assert launcher.launch()


@pytest.mark.parametrize("status", [401, 403, 400])
def test_refused_check(launcher: Launcher, created: Callable[[], int], status: int) -> None:
    """A check that is refused ends the launch."""
    launcher.air.add_fault(REQUESTS["validate"], times=-1, status=status, error_code="NO", message="not you")
    with pytest.raises(ApiError, match="not you"):
        launcher.launch()
    assert created() == 0


def test_mistakes_that_the_server_finds(launcher: Launcher, created: Callable[[], int]) -> None:
    """What the server finds is said with the author's field names, all at once."""
    launcher.air.refuse_config(
        {"path": "task.deployments[0].compute.accelerator_count", "message": "too many", "code": "X"},
        {"path": "run_options.max_retries", "message": "too often."},
        {"path": "something.new", "message": "is odd"},
    )
    with pytest.raises(ConfigError) as caught:
        launcher.launch()
    assert [error.path for error in caught.value.errors] == [
        "compute.num_accelerators", "max_retries", "something.new"
    ]  # fmt: skip
    assert "compute.num_accelerators: too many (said by the workspace, X)" in str(caught.value)
    assert created() == 0
    assert not launcher.air.requests(path="*/import-file/*")


def test_experiment_directory_is_a_file(launcher: Launcher, created: Callable[[], int]) -> None:
    """A file in the place of the experiment's directory is said as a mistake of that field."""
    launcher.launch()
    file = launcher.air.requests(path="*/command.sh")[0].path.removeprefix(
        "/api/2.0/workspace-files/import-file"
    )
    with pytest.raises(ConfigError, match=r"mlflow_experiment_directory: .* is a FILE, not a directory"):
        launcher.launch(launcher.config(mlflow_experiment_directory=file))
    assert created() == 1


def test_same_token_twice(launcher: Launcher, created: Callable[[], int]) -> None:
    """A launch that is repeated with its token gives the same run and sends no file again."""
    config = launcher.config()
    first = launcher.launch(config, token="twice")
    launcher.air.clear_requests()
    assert launcher.launch(config, token="twice") == first
    assert created() == 1
    assert not launcher.air.requests(path="*/import-file/*")


def test_same_token_side_by_side(launcher: Launcher, created: Callable[[], int]) -> None:
    """Launches of one token at the same time end on the same run."""
    config, found = launcher.config(), []
    threads = [
        threading.Thread(target=lambda: found.append(launcher.launch(config, token="together")))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert created() == 1


def test_fresh_checkout_finds_the_code(launcher: Launcher) -> None:
    """The same code in another place is not sent again; a changed file is."""
    launcher.launch()
    launcher.air.clear_requests()
    copy = launcher.code.parent / "elsewhere" / "code"
    shutil.copytree(launcher.code, copy)
    launcher.launch(launcher.config(code_source={"root_path": str(copy)}))
    assert not launcher.air.requests(path=REQUESTS["snapshot"])
    (copy / "train.py").write_text("changed\n")
    launcher.launch(launcher.config(code_source={"root_path": str(copy)}))
    assert len(launcher.air.requests(path=REQUESTS["snapshot"])) == 1


def test_code_that_cannot_be_packed(launcher: Launcher, created: Callable[[], int]) -> None:
    """Code that cannot be packed ends the launch before anything is written."""
    with pytest.raises(SnapshotError, match="in no git work tree"):
        launcher.launch(
            launcher.config(code_source={"root_path": str(launcher.code), "git": {"commit": "abcdef1"}})
        )
    assert created() == 0
    assert not launcher.air.requests(method="POST")


@pytest.mark.parametrize("token", ["", "  ", "x" * 65])
def test_token_of_a_wrong_length(launcher: Launcher, token: str) -> None:
    """A token that the service would not take is refused before anything is asked."""
    with pytest.raises(ConfigError, match="idempotency_token"):
        launcher.launch(token=token or " ")
    assert not launcher.air.requests()


def test_run_id_is_told_at_once(launcher: Launcher) -> None:
    """The id of the run is told as soon as it is known."""
    told: list[int] = []
    assert launcher.launch(created=told.append) == told[0]


def test_no_thread_stays(launcher: Launcher) -> None:
    """Neither a launch nor a failed one leaves a thread."""
    launcher.launch()
    launcher.air.add_fault(REQUESTS["artifact"], times=-1, status=403)
    with pytest.raises(ApiError):
        launcher.launch()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("air-launch")]
