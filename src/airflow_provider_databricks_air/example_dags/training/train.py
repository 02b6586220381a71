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

import os
import random
import time

EPOCHS = int(os.environ["EPOCHS"])
LEARNING_RATE = float(os.environ["LEARNING_RATE"])
POINTS = 2_000


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
        time.sleep(0.2)
    print(f"learned a = {slope:.2f} (truth 3), b = {intercept:.2f} (truth -1)", flush=True)


if __name__ == "__main__":
    main()
