"""DeepGuard's network in PyTorch and in ONNX Runtime, as a user of these engines would write it:
only the value that scoring needs, one fused operation for each LSTM, inputs time first.

Each class has the version of its engine, and `ready(batch)`, which gives a function without
arguments that reconstructs the first `batch` windows: [time, batch], newest first.
"""

import warnings

import numpy

from tensors import gates, prepared

VALUE = [0, 2]  # of the network's three outputs: the offset and the gate on the profile


class Torch:
    def __init__(self, weights, windows, threads):
        import torch

        self.version = torch.__version__
        torch.set_num_threads(threads)
        self.torch, self.windows = torch, windows
        # Traced and frozen, the network is a quarter quicker for a single window, and as quick for
        # many. torch.compile, which is to replace tracing one day, makes it slower.
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            traced = torch.jit.trace(torch_network(torch, weights), self.arrays(16))
            self.network = torch.jit.freeze(traced)

    def arrays(self, batch):
        return [self.torch.from_numpy(array) for array in prepared(self.windows, batch)]

    def ready(self, batch):
        arrays, network, mode = self.arrays(batch), self.network, self.torch.inference_mode

        def call():
            with mode():
                return network(*arrays).numpy()

        return call


def torch_network(torch, weights):
    hidden = weights["encoder.recurrent.weight"].shape[0]

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = lstm(torch, weights, "encoder")
            self.decoder = lstm(torch, weights, "decoder")
            self.bottleneck = linear(torch, weights, "bottleneck")
            self.output = torch.nn.Linear(hidden, len(VALUE))
            self.output.weight.data = torch.from_numpy(
                numpy.ascontiguousarray(weights["output.weight"].T[VALUE]))
            self.output.bias.data = torch.from_numpy(weights["output.bias"][VALUE])

        def forward(self, inputs, context, profile):
            _, (newest, _) = self.encoder(inputs)
            code = torch.tanh(self.bottleneck(newest))
            decoded, _ = self.decoder(
                torch.cat([code.expand(context.shape[0], -1, -1), context], 2))
            said = self.output(decoded)
            return (said[..., :1] + torch.sigmoid(said[..., 1:]) * profile).squeeze(2)

    return Network().eval()


def lstm(torch, weights, name):
    """An nn.LSTM with the weights of a layer. It has two biases; the second one is zero."""
    inputs, recurrent = weights[f"{name}.input.weight"], weights[f"{name}.recurrent.weight"]
    layer = torch.nn.LSTM(inputs.shape[0], recurrent.shape[0])
    layer.weight_ih_l0.data = torch.from_numpy(gates(inputs, "ifgo"))
    layer.weight_hh_l0.data = torch.from_numpy(gates(recurrent, "ifgo"))
    layer.bias_ih_l0.data = torch.from_numpy(gates(weights[f"{name}.input.bias"], "ifgo"))
    layer.bias_hh_l0.data.zero_()
    layer.flatten_parameters()
    return layer


def linear(torch, weights, name):
    weight = weights[f"{name}.weight"]
    layer = torch.nn.Linear(*weight.shape)
    layer.weight.data = torch.from_numpy(numpy.ascontiguousarray(weight.T))
    layer.bias.data = torch.from_numpy(weights[f"{name}.bias"].copy())
    return layer


class Onnx:
    def __init__(self, weights, windows, threads):
        import onnxruntime

        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        model = onnx_model(weights, windows["values"].shape[1])
        self.session = onnxruntime.InferenceSession(model, options,
                                                    providers=["CPUExecutionProvider"])
        self.onnxruntime, self.windows = onnxruntime, windows

    def ready(self, batch):
        arrays = dict(zip(("inputs", "context", "profile"), prepared(self.windows, batch)))
        answer = numpy.empty(arrays["inputs"].shape[:2], numpy.float32)
        # The engine reads and writes these arrays directly, without a copy. They live as long as
        # the function.
        binding, of = self.session.io_binding(), self.onnxruntime.OrtValue.ortvalue_from_numpy
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, of(array))
        binding.bind_ortvalue_output("value", of(answer))

        def call(_inputs=arrays):
            self.session.run_with_iobinding(binding)
            return answer

        return call


def onnx_model(weights, time):
    """The same as a graph of ONNX, whose gates are in the order i, o, f, g."""
    from onnx import TensorProto, checker, helper, numpy_helper

    hidden, code = weights["bottleneck.weight"].shape
    context = weights["decoder.input.weight"].shape[0] - code
    constants, nodes = [], []

    def constant(name, array):
        constants.append(numpy_helper.from_array(numpy.ascontiguousarray(array), name))
        return name

    def node(kind, inputs, outputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def lstm_node(name, inputs, outputs):
        weight, recurrent = (gates(weights[f"{name}.{part}.weight"], "iofg")[None]
                             for part in ("input", "recurrent"))
        bias = gates(weights[f"{name}.input.bias"], "iofg")
        both = numpy.concatenate([bias, numpy.zeros_like(bias)])[None]
        parameters = [constant(f"{name}.w", weight), constant(f"{name}.r", recurrent),
                      constant(f"{name}.b", both)]
        node("LSTM", [inputs, *parameters], outputs, hidden_size=hidden, name=name)

    lstm_node("encoder", "inputs", ["", "newest"])
    node("Squeeze", ["newest", constant("first", numpy.array([0]))], ["state"])
    node("Gemm", ["state", constant("bottleneck.w", weights["bottleneck.weight"]),
                  constant("bottleneck.b", weights["bottleneck.bias"])], ["squeezed"])
    node("Tanh", ["squeezed"], ["code"])
    node("Unsqueeze", ["code", "first"], ["code at once"])
    node("Expand", ["code at once", constant("times", numpy.array([time, 1, 1]))],
         ["code at all times"])
    node("Concat", ["code at all times", "context"], ["to decode"], axis=2)
    lstm_node("decoder", "to decode", ["states"])
    node("Squeeze", ["states", constant("direction", numpy.array([1]))], ["decoded"])
    node("MatMul", ["decoded", constant("output.w", weights["output.weight"][:, VALUE])],
         ["weighed"])
    node("Add", ["weighed", constant("output.b", weights["output.bias"][VALUE])], ["said"])
    node("Split", ["said"], ["offset", "gate"], axis=2, num_outputs=2)
    node("Sigmoid", ["gate"], ["open"])
    node("Mul", ["open", "profile"], ["habit"])
    node("Add", ["offset", "habit"], ["sum"])
    node("Squeeze", ["sum", constant("last", numpy.array([2]))], ["value"])

    def tensor(name, *shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, [time, "batch", *shape])

    inputs = [tensor("inputs", 2 + context), tensor("context", context), tensor("profile", 1)]
    graph = helper.make_graph(nodes, "deepguard", inputs, [tensor("value")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    checker.check_model(model)
    return model.SerializeToString()
