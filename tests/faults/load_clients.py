"""50 clients that send 1,000 requests a second together: PORT PROCEDURE SEED SECONDS.

A process of its own, so that it does not slow down those who watch. Half of the requests
make sense but change nothing, half make none. Prints how many were sent and answered.
"""

import json
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from random import Random

CLIENTS = 50
RATE = 1000.0

CALLS: list[list[object]] = [
    ["status", "manager"],
    ["status", "manager"],
    ["start", "update", {"requests": []}],
    ["start", "update", {}],
    ["start", "update", {"requests": [["nobody", "up"]]}],
    ["start", "update", {"requests": [["ok-0", "sideways"]]}],
    ["start", "update", {"requests": 5}],
    ["start", "nothing", {}],
]


def client(port: int, procedure: str, rng: Random, until: float, counts: list[int]) -> None:
    """One client, at an even rate, over one connection."""
    bodies = [json.dumps({"procedure": procedure, "args": c, "kwargs": {}}) for c in CALLS]
    line = HTTPConnection("127.0.0.1", port, timeout=10)
    due = time.monotonic() + rng.random() * CLIENTS / RATE
    while due < until:
        time.sleep(max(0.0, due - time.monotonic()))
        due += CLIENTS / RATE
        counts[0] += 1
        try:
            line.request("POST", "/call", rng.choice(bodies), {"Content-Type": "application/json"})
            line.getresponse().read()
            counts[1] += 1
        except (OSError, HTTPException):
            line.close()
    line.close()


def main(port: int, procedure: str, seed: int, seconds: float) -> None:
    until = time.monotonic() + seconds
    counts = [[0, 0] for _ in range(CLIENTS)]
    threads = [
        threading.Thread(target=client, args=(port, procedure, Random(seed + n), until, counts[n]))
        for n in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sent, answered = (sum(count[i] for count in counts) for i in (0, 1))
    print(sent, "sent,", answered, "answered")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
