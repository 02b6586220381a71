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
"""The page in a browser: a small training and two nodes that meet, with pictures for the documentation."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from databricks_air_local import LocalAirRuntime
from wire import HOME, Client, until

BROWSER = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(300),
    pytest.mark.skipif(BROWSER is None, reason="needs chromium or google-chrome"),
]

TRAINING = """
import json, os, random, time, urllib.request

def log(**values):
    for key, value in values.items():
        point = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": key, "value": value, "step": step}
        urllib.request.urlopen(urllib.request.Request(
            os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/runs/log-metric",
            json.dumps(point).encode(), {"Authorization": "Bearer " + os.environ["MLFLOW_TRACKING_TOKEN"]}))

random.seed(1)
data = [(x, 3 * x + 2 + random.gauss(0, 0.1)) for x in (random.uniform(-1, 1) for _ in range(200))]
slope = bias = 0.0
for step in range(40):
    errors = [(slope * x + bias - y, x) for x, y in data]
    loss = sum(error ** 2 for error, _ in errors) / len(data)
    slope -= 0.6 * sum(error * x for error, x in errors) / len(data)
    bias -= 0.6 * sum(error for error, _ in errors) / len(data)
    if step % 8 == 0 or step == 39:
        print(f"step {step:2d}  loss {loss:.4f}  y = {slope:.2f} x + {bias:.2f}")
    log(loss=loss, slope=slope)
"""

MEETING = """
import os, socket, time
rank, nodes = int(os.environ["NODE_RANK"]), int(os.environ["NUM_NODES"])
address = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    total = 1
    with socket.create_server(address) as server:
        for _ in range(nodes - 1):
            peer, _ = server.accept()
            total += int(peer.recv(10))
    print(f"rank 0: the sum over {nodes} nodes is {total}")
else:
    while True:
        try:
            peer = socket.create_connection(address)
            break
        except OSError:
            time.sleep(0.05)
    peer.send(str(rank + 1).encode())
    print(f"rank {rank}: sent {rank + 1} to {address[0]}")
"""


def _browse(directory: Path, url: str, *options: str) -> str:
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    command += [f"--user-data-dir={directory / 'profile'}", *options, url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _picture(directory: Path, url: str, name: str, height: int) -> None:
    """Take a picture; into the documentation when ``AIR_PICTURES`` names its directory."""
    target = Path(os.environ.get("AIR_PICTURES", directory)) / f"{name}.png"
    _browse(directory, url, f"--screenshot={target}", f"--window-size=1100,{height}")
    assert target.stat().st_size > 10_000


def test_a_small_training(air: LocalAirRuntime, client: Client, tmp_path: Path) -> None:
    """A training in plain Python logs its loss; the page draws it and shows the lines and the file."""
    command = f"python3 - <<'END'\n{TRAINING}\nEND"
    client.put_file(
        f"{HOME}/line/training_config.yaml",
        "experiment_name: line\ncompute:\n    accelerator_type: GPU_1xH100\n    num_accelerators: 1\n"
        "command: python3 train.py\n",
    )
    run = client.wait(client.submit(command, name="line"), seconds=120)
    assert run["state"]["result_state"] == "SUCCESS", client.logs(run["run_id"])

    page = _browse(tmp_path, air.page_url(run["run_page_url"]), "--dump-dom")

    assert page.count("<polyline") == 2
    assert "experiment_name: line" in page
    assert "step 39  loss 0.0" in page
    _picture(tmp_path, air.page_url(run["run_page_url"]), "run", 1290)


def test_two_nodes(air: LocalAirRuntime, client: Client, tmp_path: Path) -> None:
    """Two nodes meet at MASTER_ADDR and MASTER_PORT and add up; the page shows both logs."""
    run_id = client.submit(f"python3 - <<'END'\n{MEETING}\nEND", name="meeting", count=2)
    run = client.wait(run_id, seconds=120)

    page = _browse(tmp_path, air.page_url(run["run_page_url"]), "--dump-dom")

    assert "rank 0: the sum over 2 nodes is 3" in page
    assert "rank 1: sent 2 to 127.0.0.1" in page
    _picture(tmp_path, air.page_url(run["run_page_url"]), "nodes", 880)


def test_lines_appear_while_the_page_is_open(air: LocalAirRuntime, client: Client, tmp_path: Path) -> None:
    """The script of the page fetches new lines while the run is alive; without it the page is complete."""
    air.on("demo").hangs(logs=["first line"])
    run_id = client.submit()
    client.wait(run_id, lambda _: client.logs(run_id) == ["first line"])
    url = air.page_url(client.run(run_id)["run_page_url"])

    watching = subprocess.Popen(
        [
            str(BROWSER),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
        ]
        + ["--virtual-time-budget=15000", "--dump-dom", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    while len(air.requests(path="/jobs/runs/*")) < 2:
        assert watching.poll() is None
    air.log(run_id, "a later line")
    air.release(run_id)
    page = watching.communicate(timeout=60)[0]

    assert "a later line" in page
    assert "SUCCESS" in page
    assert len(air.requests(path="/jobs/runs/*")) >= 2


def test_what_one_opens_when_something_is_red(air: LocalAirRuntime, client: Client, tmp_path: Path) -> None:
    """A red run says why at its top, a sweep is a list that can be narrowed, and the journal shows what was asked."""
    air.on("lr-*").succeeds(metrics={"loss": [1.0, 0.4, 0.2]})
    air.on("lr-01").fails(exit_code=137, message="Out of memory")
    air.add_fault("GET */jobs/runs/get", status=429, times=2)
    air.on("waits").waits(status="Waiting for GPU compute capacity")
    for rate in ("0001", "001", "01"):
        run_id = client.submit(name=f"lr-{rate}", count=2)
    client.submit(name="waits")
    red = client.submit(
        'for epoch in 1 2 3; do echo "epoch $epoch  loss 0.$((5 - epoch))"; done\n'
        "if (( NODE_RANK == 1 )); then\n"
        "  echo 'RuntimeError: CUDA error: device-side assert triggered' >&2; exit 3\nfi\nsleep 60",
        name="red",
        count=2,
    )
    assert until(lambda: len(air.runs_alive) == 1)
    client.send("GET", f"/api/2.2/jobs/runs/get?run_id={run_id}")

    page = _browse(tmp_path, air.page_url(f"{air.url}/jobs/runs/{red}"), "--dump-dom")

    assert "Exit code 3: the last lines of node 1" in page
    _picture(tmp_path, air.page_url(f"{air.url}/jobs/runs/{red}"), "red", 640)
    _picture(tmp_path, air.page_url(f"{air.url}/?experiment=lr"), "sweep", 380)
    _picture(tmp_path, air.page_url(f"{air.url}/script"), "requests", 820)
