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
"""Recording a workspace and comparing it with the local AI Runtime; here another local one is the workspace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from databricks_air_local import LocalAirRuntime
from databricks_air_local.parity.__main__ import main
from databricks_air_local.parity.recording import redacted

USER = "Alice.Secret@corp.example"


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Record a workspace that differs in one call."""
    there: dict[str, Any] = {"policies": {"PROJECT_X": "p"}, "pools": {"PROJECT_Y": "GPU_1xA10:4"}}
    with LocalAirRuntime(user=USER, **there) as air:
        air.add_fault("*/compute-options", status=403, error_code="FEATURE_DISABLED", message="Not for 'Bob'")
        monkeypatch.setenv("DATABRICKS_HOST", air.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", air.token)
        assert main(["record", str(tmp_path / "it.json"), "--with-run"]) == 0
        assert [run["run_name"] for run in air.runs()] == ["air-parity"]
        listing = air.workspace.files.workspace.children(f"/Users/{USER}")
        assert listing == []  # what it made is gone
        for secret in (
            air.token,
            air.url,
            USER,
            "Alice",
            "PROJECT_X",
            "PROJECT_Y",
            str(air.runs()[0]["run_id"]),
        ):
            assert secret not in (tmp_path / "it.json").read_text()
    return tmp_path / "it.json"


def test_a_recording_is_compared(recording: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What differs is named, call by call; all else agrees, and the sum says how much."""
    capsys.readouterr()

    assert main(["replay", str(recording)]) == 0

    *differences, total = capsys.readouterr().out.splitlines()
    assert differences == [
        "accelerators: status: 403, here 200",
        "accelerators: body.error_code: 'FEATURE_DISABLED' is missing here",
        "accelerators: body.message: 'Not for <...>' is missing here",
    ]
    count = int(total.rpartition(" of ")[2].partition(" ")[0])
    assert count > 100
    assert total == f"a workspace: agrees: {count - 3} of {count} fields"


def test_what_is_public_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    """The recording that is shipped holds what clients and their tests say in public; all of it agrees."""
    assert main(["replay"]) == 0

    (total,) = capsys.readouterr().out.splitlines()
    count = total.rpartition(" of ")[2].partition(" ")[0]
    assert total == f"what is public: agrees: {count} of {count} fields"
    page = Path(__file__).resolve().parents[3] / "docs/local-ai-runtime.rst"
    if page.exists():
        assert f"agrees: {count} of {count} fields" in page.read_text()


def test_nothing_of_anybody_stays() -> None:
    """Of values their kind stays, of sentences about what we sent the words."""
    shown = redacted(
        {
            "error_code": "NOT_FOUND",
            "message": "Path (/Users/a@b.c/x) of 'me' at https://h/1 is not in 1234567",
            "state": {
                "state_message": "Task my-secret failed",
                "life_cycle_state": "RUNNING",
                "code": "lower",
            },
            "tags": [{"key": "OWNER", "value": "ACME"}, {"more": 1}],
            "done": True,
            "size": 7,
        }
    )

    assert json.loads(json.dumps(shown)) == {
        "done": True,
        "error_code": "NOT_FOUND",
        "message": "Path (<...>) of <...> at <...> is not in <...>",
        "size": "<number>",
        "state": {"code": "<text>", "life_cycle_state": "RUNNING", "state_message": "<text>"},
        "tags": [{"key": "<text>", "value": "<text>"}],
    }


def test_wrong_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a workspace, and for a file that is no recording, one line says what is missing."""
    monkeypatch.delenv("DATABRICKS_HOST", raising=False)
    (tmp_path / "no.json").write_text("[]")

    assert (main(["record", str(tmp_path / "x")]), main(["replay", str(tmp_path / "no.json")])) == (2, 2)
    assert len(capsys.readouterr().err.splitlines()) == 2
