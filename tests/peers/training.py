"""DeepGuard's training in PyTorch: the same network, loss, optimiser and learning rate as in
model-builder/src/build/train.rs, whose names the constants have.
"""

import math
import time

import numpy
import torch

from scoring import linear, lstm

NOISE, HIDDEN, NEWEST, CONTAMINATED = 0.05, 0.05, 4, 0.02
WARM_UP, GRADIENT_NORM = 0.3, 1.0
LOG_SCALE = (-6.0, 4.0)
EPSILON = 1e-5  # Burn's Adam; its other numbers are PyTorch's as well


class Network(torch.nn.Module):
    def __init__(self, weights):
        super().__init__()
        self.encoder = lstm(torch, weights, "encoder")
        self.decoder = lstm(torch, weights, "decoder")
        self.bottleneck = linear(torch, weights, "bottleneck")
        self.output = linear(torch, weights, "output")
        # DeepGuard's LSTM has one bias. A second trained bias would double the steps of the bias.
        self.encoder.bias_hh_l0.requires_grad_(False)
        self.decoder.bias_hh_l0.requires_grad_(False)

    def forward(self, seen, context):
        """Values and logarithms of the scale, newest first, of windows time first and oldest
        first."""
        _, (newest, _) = self.encoder(torch.cat([seen, context], 2))
        code = torch.tanh(self.bottleneck(newest))
        backwards = context.flip(0)
        decoded, _ = self.decoder(torch.cat([code.expand(context.shape[0], -1, -1), backwards], 2))
        offset, log_scale, gate = self.output(decoded).unbind(2)
        return offset + torch.sigmoid(gate) * backwards[..., 0], log_scale.clamp(*LOG_SCALE)


class Training:
    """One training, an epoch at a time."""

    def __init__(self, windows, weights, options):
        torch.manual_seed(options["seed"])
        self.values, self.visible, self.context = (torch.from_numpy(numpy.array(windows[name]))
                                                   for name in ("values", "visible", "context"))
        self.network = Network(weights)
        self.parameters = [parameter for parameter in self.network.parameters()
                           if parameter.requires_grad]
        self.adam = torch.optim.Adam(self.parameters, eps=EPSILON, fused=True)
        self.batch, self.peak = options["batch"], options["learning_rate"]
        self.done, self.total = 0, options["epochs"] * math.ceil(len(self.values) / self.batch)

    def epoch(self):
        """Seconds, and the mean loss."""
        began, losses = time.perf_counter(), 0.0
        for indices in torch.randperm(len(self.values)).split(self.batch):
            loss = self.loss(self.values[indices].T, self.visible[indices].T,
                             self.context[indices].transpose(0, 1))
            self.adam.zero_grad()
            loss.backward()
            self.clip()
            self.adam.param_groups[0]["lr"] = one_cycle(self.done, self.total, self.peak)
            self.adam.step()
            self.done += 1
            losses += loss.item() * len(indices)
        return {"seconds": time.perf_counter() - began, "loss": losses / len(self.values)}

    def loss(self, values, visible, context):
        seen, shown = disguised(values, visible)
        said, log_scale = self.network(torch.stack([seen * shown, 1 - shown], 2), context)
        target, measured = values.flip(0), visible.flip(0)
        each = ((target - said).abs() * torch.exp(-log_scale) + log_scale) * measured
        newest = slice(0, NEWEST)
        of_window = (each.sum(0) / measured.sum(0).clamp_min(1)
                     + each[newest].sum(0) / measured[newest].sum(0).clamp_min(1))
        kept = torch.ones_like(of_window)
        kept[of_window.detach().topk(int(len(kept) * CONTAMINATED)).indices] = 0
        return (of_window * kept).sum() / kept.sum()

    def clip(self):
        """Each parameter's gradient by itself."""
        gradients = [parameter.grad for parameter in self.parameters]
        norms = torch.stack(torch._foreach_norm(gradients))
        torch._foreach_mul_(gradients, list((GRADIENT_NORM / norms).clamp_max(1.0)))


def disguised(values, visible):
    """The inputs of the network: noise, and hidden datapoints. Time first."""
    time, batch = values.shape
    seen = values + NOISE * torch.randn_like(values)
    hidden_newest = torch.randint(0, min(NEWEST, time) + 1, (batch,))
    hidden = torch.arange(time, 0, -1)[:, None] <= hidden_newest
    hidden |= torch.rand(time, batch) < HIDDEN
    return seen, visible.masked_fill(hidden, 0)


def one_cycle(done, total, peak):
    def cosine(start, end, part):
        return end + (start - end) * (1 + math.cos(math.pi * part)) / 2

    part = done / total
    if part < WARM_UP:
        return cosine(peak / 25, peak, part / WARM_UP)
    return cosine(peak, peak / 1e4, (part - WARM_UP) / (1 - WARM_UP))
