"""The files that this and the driver exchange, and DeepGuard's artifact: safetensors, read with
numpy alone."""

import json

import numpy


def read(path):
    """Name to array, of a safetensors file: eight bytes of length, a header in JSON, then the
    numbers."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
        numbers = file.read()
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(
                numbers[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items()}


def gates(columns, order):
    """The columns of DeepGuard's four gates, [..., 4 hidden], as rows in another order: [4 hidden,
    ...].

    DeepGuard's are input, forget, output, candidate; `order` names them by their letters i, f, o,
    g.
    """
    parts = dict(zip("ifog", numpy.split(columns, 4, axis=-1)))
    return numpy.ascontiguousarray(numpy.concatenate([parts[gate] for gate in order], axis=-1).T)


def time_first(array):
    """[batch, time, ...] as [time, batch, ...], which is what both engines like best."""
    return numpy.ascontiguousarray(numpy.moveaxis(array, 0, 1))


def prepared(windows, batch):
    """The inputs of the network for the first `batch` windows, made before the timing begins.

    The encoder's input [time, batch, 2 + context], the context newest first [time, batch, context],
    and of it the daily profile [time, batch, 1].
    """
    values, visible, context = (windows[name][:batch] for name in ("values", "visible", "context"))
    seen = numpy.stack([values * visible, 1 - visible], axis=2)
    inputs = numpy.concatenate([seen, context], axis=2)
    backwards = time_first(context[:, ::-1])
    return time_first(inputs), backwards, numpy.ascontiguousarray(backwards[:, :, :1])
