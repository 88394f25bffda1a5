"""One engine with a number of threads, asked by the driver of `make bench-peers` line by line.

    $ python peers.py torch 1 models/default.safetensors windows.safetensors

Each line of the input is a request in JSON, each line of the output its answer. The first answer
comes unasked.

    (start)                                 {"version": "2.15.0"}
    {"do": "check"}                         {"difference": 2.1e-06}     largest, from DeepGuard's
    {"do": "score", "batch": 256, "seconds": 0.05}
                                            {"seconds_per_call": [...]}
    {"do": "begin", "windows": ..., "weights": ..., "seed": 1, "epochs": 8, "batch": 256,
     "learning_rate": 0.005}
                                            {}
    {"do": "epoch"}                         {"seconds": 1.2, "loss": 0.9}
"""

import json
import sys
import time

import numpy

from without_cuda import lazily

lazily()
from scoring import Onnx, Torch  # noqa: E402, after `lazily`
from tensors import read  # noqa: E402

ENGINES = {"torch": Torch, "onnxruntime": Onnx}
CALLS = 1000  # at most this many in one answer


def score(engine, batch, seconds):
    call = engine.ready(batch)
    call()  # the first one is slower: memory is fetched, plans are made
    taken = []
    until = time.perf_counter() + seconds
    while len(taken) < CALLS:
        began = time.perf_counter()
        call()
        ended = time.perf_counter()
        taken.append(ended - began)
        if ended >= until:
            break
    return {"seconds_per_call": taken}


def main():
    name, threads, weights, windows = sys.argv[1:]
    windows = read(windows)
    engine = ENGINES[name](read(weights), windows, int(threads))
    training = None

    def tell(answer):
        print(json.dumps(answer), flush=True)

    tell({"version": engine.version})
    for line in sys.stdin:
        request = json.loads(line)
        match request.pop("do"):
            case "check":
                expected = windows["expected"]
                difference = numpy.abs(engine.ready(len(expected))().T - expected).max()
                # JSON has no number for NaN; 1e30 is as bad.
                tell({"difference": float(difference) if numpy.isfinite(difference) else 1e30})
            case "score":
                tell(score(engine, **request))
            case "begin":
                from training import Training

                training = Training(read(request.pop("windows")), read(request.pop("weights")),
                                    request)
                tell({})
            case "epoch":
                tell(training.epoch())
            case other:
                sys.exit(f"unknown request {other}")


if __name__ == "__main__":
    main()
