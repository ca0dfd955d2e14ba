"""Moves a network's kinks away from given inputs, so that its gradients can be compared at all.

The derivative of a ReLU jumps where its input crosses zero, that of a max-pool where two values of a window change
order. Among a network's millions of values some are so near such a kink that two correct programs, which round
differently, see them on different sides, and each of those changes a gradient by far more than rounding does: the maps
PyTorch computes in float32 and in float64 differ by 1e-3 of the largest value. So the weights, which are random anyway,
are adjusted until no value is near a kink:
  - the channel's bias, until zero lies in the widest gap between the channel's values over all pixels of all inputs;
  - where a max-pool follows, all weights of the channel's filter by one number, until the largest two values of every
    window differ.
Distances are in standard deviations of the channel's values before the ReLU."""
import operator

import torch
from torch import fx, nn
from torch.nn import functional

REACH = 0.3      # how far a bias may move
ENOUGH = 6e-5    # between the values of a window: some fifty roundings
ATTEMPTS = 100   # for a filter


def by_channel(values):
    """Tensors (N,C,...) of any sizes to (C, all values)."""
    return torch.cat([value.transpose(0, 1).flatten(1) for value in values], 1)


def spread(values):
    return by_channel(values).std(1, unbiased=False).clamp(min=1e-6)


def widest_gap(values):
    """For each channel, (C), the middle of the widest gap in reach of zero."""
    flat, deviation = by_channel(values), spread(values)[:, None]
    ends = REACH * deviation * torch.tensor([[-1.0, 1.0]], dtype=flat.dtype)
    inside = torch.where(flat.abs() < ends[:, 1:], flat, ends[:, 1:])
    points = torch.cat([ends, inside], 1).sort(1).values
    width, at = points.diff(dim=1).max(1)
    return points.gather(1, at[:, None])[:, 0] + width / 2


def window_gap(values, pool):
    """For each channel (C) the least difference between the largest two values of a window, where the largest is above
    zero: gradients end at the ReLU of the others."""
    least = []
    for value in values:
        n, c, h, w = value.shape
        windows = functional.unfold(value.relu().view(n * c, 1, h, w), pool.kernel_size, 1, pool.padding, pool.stride)
        first, at = windows.max(1, keepdim=True)
        second = windows.scatter(1, at, -float("inf")).amax(1, keepdim=True)
        gap = (first - second).masked_fill(first <= 0, float("inf"))
        least.append(gap.view(n, c, -1).amin((0, 2)))
    return torch.stack(least).amin(0) / spread(values)


def adjust_filters(conv, bn, inputs, pool):
    """Both adjustments for a convolution, with or without a batch normalisation, that a ReLU and a max-pool follow.
    Returns what was added to each filter's weights."""
    biased = bn or conv
    best = torch.full((conv.out_channels,), -1.0)
    shift, bias = torch.zeros_like(biased.bias), biased.bias.clone()
    step = 0.02 * conv.weight.flatten(1).std(1)
    for attempt in range(ATTEMPTS):
        c = (best < ENOUGH).nonzero()[:, 0]  # the channels to do again
        if not len(c):
            break
        weight = conv.weight[c] + (attempt * step[c]).view(-1, 1, 1, 1)
        values = [functional.conv2d(x, weight, None if conv.bias is None else conv.bias[c], conv.stride, conv.padding)
                  for x in inputs]
        if bn:
            values = [functional.batch_norm(value, bn.running_mean[c], bn.running_var[c], bn.weight[c], bn.bias[c],
                                            bn.training, momentum=0.0, eps=bn.eps) for value in values]
        middle = widest_gap(values)
        gap = window_gap([value - middle.view(-1, 1, 1) for value in values], pool).float()
        better = gap > best[c]
        best[c[better]] = gap[better]
        shift[c[better]] = (attempt * step[c])[better]
        bias[c[better]] = (biased.bias[c] - middle)[better]
    conv.weight += shift.view(-1, 1, 1, 1)
    biased.bias.copy_(bias)
    return shift


@torch.no_grad()
def widen(model, inputs):
    """Adjusts the weights of model, in the mode it is in, for a list of inputs (N,C,H,W). Returns the least distances
    that are left, of ReLUs and of max-pools, and under the convolutions' names what was added to their filters."""
    nodes = list(fx.symbolic_trace(model).graph.nodes)
    modules = {node: model.get_submodule(node.target) for node in nodes if node.op == "call_module"}
    shifts = {}
    values = {}  # of each node: a list, one for each input
    relu_gap = pool_gap = float("inf")

    def run(node):
        function = modules.get(node) or {operator.iadd: operator.add}.get(node.target, node.target)
        return [function(*(values[a][i] if isinstance(a, fx.Node) else a for a in node.args))
                for i in range(len(inputs))]

    for node in nodes:
        if node.op == "placeholder":
            values[node] = inputs
            continue
        if node.op == "output":
            break
        if isinstance(modules.get(node), nn.ReLU):
            source, (user, *others) = node.args[0], node.users
            if isinstance(modules.get(user), nn.MaxPool2d) and not others:
                bn = modules[source] if isinstance(modules[source], nn.BatchNorm2d) else None
                conv = source.args[0] if bn else source
                shifts[conv.target] = adjust_filters(modules[conv], bn, values[conv.args[0]], modules[user])
                values[conv] = run(conv)
                values[source] = run(source)
                pool_gap = min(pool_gap, window_gap(values[source], modules[user]).min().item())
            else:
                # Of a sum, the bias is that of the first term: the block's own branch.
                biased = modules[source if source in modules else source.args[0]]
                middle = widest_gap(values[source])
                biased.bias -= middle
                values[source] = [value - middle.view(-1, *[1] * (value.ndim - 2)) for value in values[source]]
            zero_gap = by_channel(values[source]).abs().amin(1)
            relu_gap = min(relu_gap, (zero_gap / spread(values[source])).min().item())
            values[node] = [value.relu() for value in values[source]]  # not the module: that may work in place
        else:
            values[node] = run(node)
    return relu_gap, pool_gap, shifts
