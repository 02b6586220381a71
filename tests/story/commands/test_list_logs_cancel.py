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
"""``list``, ``logs``, ``cancel`` and ``register-image``: what they print, for people and for machines."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.story.commands.conftest import Commands, Terminal

pytestmark = pytest.mark.plain


def test_list_filters_and_pages(commands: Commands) -> None:
    """Runs come newest first, active ones alone by default; filters and pages narrow the list."""
    old = commands.ended(experiment_name="qwen-eval")
    failed = commands.ended("exit 1", experiment_name="llama")
    live = commands.submit("sleep 60", experiment_name="qwen-train")

    def listed(*arguments: str) -> list[str]:
        return [row["run_id"] for row in commands.run("list", *arguments, "-o", "json").data["runs"]]

    assert listed() == listed("runs", "--active") == [live]
    assert listed("--all-status") == [live, failed, old]
    assert listed("--all-status", "--all-users") == [live, failed, old]
    assert listed("--all-status", "--filter", "experiment=QWEN*") == [live, old]
    assert listed("--filter", "status=failed") == [failed]
    assert listed("--all-status", "--filter", "accelerator_type=a10") == []
    assert listed("--all-status", "--filter", "num_accelerators=1", "--filter", "age=1h") == [
        live,
        failed,
        old,
    ]
    assert listed("--all-status", "--filter", "user=somebody@example.com") == []
    page = commands.run("list", "--all-status", "--limit", "2")
    assert f"--before {failed}" in page.err
    assert listed("--all-status", "--limit", "2", "--before", failed) == [old]
    assert re.match(r"Run ID +Experiment +Status +Started +Duration +Accelerators +User *\n", page.out)


def test_list_without_an_index(commands: Commands) -> None:
    """Where the workspace keeps no index of own runs, the list comes from a scan."""
    number = commands.ended()
    commands.air.add_fault("*/ai-training/workflows", times=-1, status=404, error_code="ENDPOINT_NOT_FOUND")
    rows = commands.run("list", "--all-status", "-o", "json").data["runs"]
    assert [row["run_id"] for row in rows] == [number]


def test_list_refuses_unknown_filters(commands: Commands) -> None:
    """A filter that does not exist, or has no such value, is wrong usage and says which ones there are."""
    assert "accelerator_type, age" in commands.run("list", "--filter", "colour=red", status=2).err
    assert "90m, 12h or 7d" in commands.run("list", "--filter", "age=soon", status=2).err


def test_logs_by_node_and_attempt(commands: Commands) -> None:
    """Lines are chosen by node and attempt; the latest attempt of node 0 is the default, the exit code the run's."""
    compute = {"accelerator_type": "GPU_1xH100", "num_accelerators": 2}
    # The end of one node ends the other, so both wait until both have printed.
    here = f"{commands.work}/$MLFLOW_RUN_ID"
    number = commands.ended(
        f'for i in 1 2 3; do echo "$NODE_RANK: $i"; done; touch "{here}.$NODE_RANK"; '
        f'until [ -e "{here}.0" ] && [ -e "{here}.1" ]; do sleep 0.05; done; exit 1',
        compute=compute,
        max_retries=1,
    )
    lines = commands.run("logs", number, status=1).out.splitlines()
    assert lines[:3] == ["0: 1", "0: 2", "0: 3"]
    # Behind them is the line of the exit, on the node that ended first.
    last = commands.run("logs", number, "--node", "1", "--lines", "2", status=1).out.splitlines()
    assert len(last) == 2
    assert "1: 3" in last
    assert commands.run("logs", number, "--retry", "0", status=1).out.startswith("0: 1\n")
    both = commands.run("logs", number, "--node", "all", status=1).out.splitlines()
    assert {"[node 0] 0: 1", "[node 1] 1: 3"} <= set(both)
    assert "available retries are 0 to 1" in commands.run("logs", number, "--retry", "2", status=1).err
    assert "they are 0 to 1, or all" in commands.run("logs", number, "--node", "2", status=1).err


def test_logs_as_events(commands: Commands) -> None:
    """With ``-o json`` each line is an event; a log without lines says so in one."""
    number = commands.ended("echo hello")
    (event,) = [json.loads(line) for line in commands.run("logs", number, "-o", "json").out.splitlines()]
    assert (event["type"], event["node"], event["line"]) == ("LOG", 0, "hello")
    silent = commands.ended("true")
    (event,) = [json.loads(line) for line in commands.run("logs", silent, "-o", "json").out.splitlines()]
    assert event["type"] == "ERROR"
    assert "No logs available" in event["line"]


def test_logs_without_the_log_endpoint(commands: Commands) -> None:
    """Where the workspace has no log endpoint, the stored pieces are read."""
    number = commands.ended("echo stored")
    commands.air.add_fault("*/by-run-id/*", times=-1, status=403, error_code="FEATURE_DISABLED")
    assert commands.run("logs", number).out == "stored\n"


def test_logs_to_files(commands: Commands) -> None:
    """``--download-to`` writes the whole log of every node, and leaves no half file."""
    compute = {"accelerator_type": "GPU_1xH100", "num_accelerators": 2}
    number = commands.ended("seq 3000", compute=compute)
    commands.run("logs", number, "--download-to", "kept")
    for node in (0, 1):
        text = (commands.work / f"kept/logs/node_{node}.log").read_text()
        assert text.splitlines() == [str(line) for line in range(1, 3001)]
    assert sorted(path.name for path in (commands.work / "kept/logs").iterdir()) == [
        "node_0.log",
        "node_1.log",
    ]


def test_logs_follow_an_active_run(commands: Commands) -> None:
    """An active run is followed to its end, each line once; ``--no-follow`` prints what is there and leaves."""
    number = commands.submit("echo early; while [ ! -e $HOME/go ]; do sleep 0.1; done; echo late")
    commands.wait(number, {"RUNNING"})
    following = Terminal(commands, "logs", number)
    following.until("early")
    assert commands.run("logs", number, "--no-follow").out == "early\n"
    commands.run("cancel", number)
    assert following.end() == 1
    assert following.seen.count("early") == 1


def test_ctrl_c_asks_and_cancels(commands: Commands) -> None:
    """Ctrl-C asks once; the answer ``c`` ends the run."""
    commands.write(
        "a.yaml",
        "experiment_name: a\ncommand: echo started; sleep 600\ncompute: {accelerator_type: GPU_1xH100, num_accelerators: 1}\n",
    )
    watching = Terminal(commands, "run", "a.yaml", "--watch")
    watching.until("started")
    watching.process.send_signal(signal.SIGINT)
    watching.until("[L/c]")
    watching.write("c\n")
    assert watching.end() == 130
    (run,) = commands.air.runs()
    commands.wait(str(run["run_id"]))
    (run,) = commands.air.runs()
    assert run["state"]["result_state"] == "CANCELED"


def test_ctrl_c_leaves_the_run_alone(commands: Commands) -> None:
    """Any other answer leaves the run running and says how to come back to it."""
    commands.write(
        "a.yaml",
        "experiment_name: a\ncommand: echo started; sleep 600\ncompute: {accelerator_type: GPU_1xH100, num_accelerators: 1}\n",
    )
    watching = Terminal(commands, "run", "a.yaml", "--watch")
    watching.until("started")
    watching.process.send_signal(signal.SIGINT)
    watching.until("[L/c]")
    watching.write("\n")
    assert watching.end() == 130
    (number,) = commands.air.runs_alive
    assert f"Run {number} goes on" in watching.seen


def test_cancel_says_what_became_of_each(commands: Commands) -> None:
    """Several runs at once: one is asked to end, one was over, one does not exist; the last makes the exit code 1."""
    live, over = commands.submit("sleep 600"), commands.ended()
    done = commands.run("cancel", live, over, "99", "-o", "json", status=1)
    assert done.data == {
        "cancelled": [live],
        "already_over": [{"run_id": over, "status": "SUCCESS"}],
        "failed": [{"run_id": "99", "error": "Run 99 does not exist."}],
    }
    commands.wait(live)
    assert "was already over (CANCELED)" in commands.run("cancel", live).out


def test_cancel_all_asks(commands: Commands) -> None:
    """``--all`` asks on a terminal, wants ``--yes`` where nobody can answer, and ends every active run."""
    live = {commands.submit("sleep 600"), commands.submit("sleep 601")}
    assert "add --yes" in commands.run("cancel", "--all", status=2).err
    asking = Terminal(commands, "cancel", "--all")
    asking.until("[y/N]")
    asking.write("n\n")
    assert asking.end() == 1
    assert {str(number) for number in commands.air.runs_alive} == live
    data = commands.run("cancel", "--all", "--yes", "-o", "json").data
    assert (set(data["cancelled"]), data["all"]) == (live, True)
    for number in live:
        commands.wait(number)
    assert "None of your runs is active" in commands.run("cancel", "--all", "--yes").out


def test_cancel_wants_to_know_what(commands: Commands) -> None:
    """Neither ids nor ``--all``, or both, is wrong usage."""
    commands.run("cancel", status=2)
    commands.run("cancel", "5", "--all", status=2)


def test_register_image(commands: Commands) -> None:
    """An image is registered, its state and digest are shown; the secret is named, never given."""
    commands.air.declare(images=["me/train:1"])
    data = commands.run(
        "register-image", "me/train:1", "--credentials", "my_scope/hf_token", "-o", "json"
    ).data
    assert (data["docker_image_url"], data["state"]) == ("docker.io/me/train:1", "AVAILABLE")
    assert re.fullmatch(r"[0-9a-f]{64}", data["manifest_sha256"])
    (sent,) = commands.air.requests("POST", "*/images")
    assert sent.json()["credentials_scope"] == "my_scope"
    assert re.search(r"^State +AVAILABLE", commands.run("register-image", "me/train:1").out, re.MULTILINE)


def test_register_image_that_fails(commands: Commands) -> None:
    """An image that cannot be imported is an error with what the service says; a password is refused unseen."""
    body = json.dumps(
        {"image": {"docker_image_url": "a:1", "state": "FAILED", "status_message": "no such tag"}}
    )
    commands.air.add_fault("*/images", method="POST", times=-1, status=200, body=body)
    error = commands.run("register-image", "a:1", "-o", "json", status=1).error
    assert (error["code"], error["message"]) == ("REGISTRATION_FAILED", "a:1 is FAILED: no such tag")
    done = commands.run("register-image", "a:1", "--credentials", "hunter2", status=2)
    assert "hunter2" not in done.out + done.err


def test_colours_are_for_terminals(commands: Commands) -> None:
    """A state has its colour on a terminal, none with ``NO_COLOR``, and none in a pipe."""
    commands.ended()
    shown = Terminal(commands, "list", "--all-status")
    assert shown.end() == 0
    assert "\x1b[32mSUCCESS" in shown.seen
    plain = Terminal(commands, "list", "--all-status", NO_COLOR="1")
    assert plain.end() == 0
    assert "\x1b[32m" not in plain.seen
    assert "\x1b" not in commands.run("list", "--all-status").out
