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
"""Fit a line to noisy points by gradient descent: a real training without a dependency."""

from __future__ import annotations

import json
import os
import random
import time
from urllib.request import Request, urlopen

EPOCHS = int(os.environ["EPOCHS"])
LEARNING_RATE = float(os.environ["LEARNING_RATE"])
POINTS = 2_000


def log_loss(loss: float, epoch: int) -> None:
    """Log a metric, with MLflow where it is installed, as on AI Runtime; otherwise with what Python brings."""
    try:
        import mlflow
    except ImportError:
        metric = {"run_id": os.environ["MLFLOW_RUN_ID"], "key": "loss", "value": loss, "step": epoch}
        metric["timestamp"] = int(1000 * time.time())
        request = Request(  # noqa: S310
            f"{os.environ['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/runs/log-metric",
            json.dumps(metric).encode(),
            {
                "Authorization": f"Bearer {os.environ['MLFLOW_TRACKING_TOKEN']}",
                "Content-Type": "application/json",
            },
        )
        urlopen(request, timeout=10).close()  # noqa: S310
    else:
        mlflow.log_metric("loss", loss, step=epoch, run_id=os.environ["MLFLOW_RUN_ID"])


def main() -> None:
    """Train, and print the loss of each epoch."""
    noise = random.Random(7)
    points = [(x, 3.0 * x - 1.0 + noise.gauss(0.0, 0.1)) for x in (noise.random() for _ in range(POINTS))]
    slope = intercept = 0.0
    print(
        f"node {os.environ['NODE_RANK']} of {os.environ['NUM_NODES']}: y = a·x + b, {POINTS} points",
        flush=True,
    )
    for epoch in range(1, EPOCHS + 1):
        loss = 0.0
        for step, (x, y) in enumerate(points, 1):
            error = slope * x + intercept - y
            slope -= LEARNING_RATE / 100 * error * x
            intercept -= LEARNING_RATE / 100 * error
            loss += (error * error - loss) / step
        print(f"epoch {epoch}/{EPOCHS}  loss {loss:.4f}", flush=True)
        if os.environ["NODE_RANK"] == "0":
            log_loss(loss, epoch)
        time.sleep(0.2)
    print(f"learned a = {slope:.2f} (truth 3), b = {intercept:.2f} (truth -1)", flush=True)


if __name__ == "__main__":
    main()
