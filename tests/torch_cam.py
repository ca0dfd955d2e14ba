"""Class activation maps from PyTorch's own autograd: what camrun's are compared with. Formulas as in cam/methods.c and
cam/map.h, in the precision of the model and the input; shapes and layers' names as in torchvision."""
import functools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

LAYERS = {
    "alexnet": ["features.0", "features.3", "features.6", "features.9", "features.12"],
    "vgg19": ["features.2", "features.9", "features.18", "features.27", "features.34", "features.36"],
    "resnet18": ["conv1", "layer1", "layer2.0.conv2", "layer2", "layer3", "layer4"],
    "resnet34": ["conv1", "layer1", "layer2.0.conv2", "layer2", "layer3", "layer4"],
    "resnet50": ["conv1", "layer1", "layer2.0.conv2", "layer2", "layer3", "layer4"],
}


class Run:
    """One forward of a model, in whose layers' outputs maps can then be asked for."""

    def __init__(self, model, x, layers):
        for module in model.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False  # else a hooked convolution's output is overwritten by the ReLU behind it
        self.model, self.size, self.layers = model.eval(), x.shape[2:], layers
        self.values = {}
        hooks = [model.get_submodule(layer).register_forward_hook(self.keep(layer)) for layer in layers]
        self.logits = model(x)
        for hook in hooks:
            hook.remove()

    def keep(self, layer):
        def hook(module, inputs, output):
            self.values[layer] = output
        return hook

    def raw_maps(self, classes):
        """Signed maps (N,h,w) for one class of each picture, under (method, layer), of gradcam and layercam."""
        score = self.logits.gather(1, classes[:, None]).sum()
        gradients = torch.autograd.grad(score, [self.values[layer] for layer in self.layers], retain_graph=True)
        return {(name, layer): terms(self.values[layer].detach(), g).sum(1)
                for layer, g in zip(self.layers, gradients)
                for name, terms in (("gradcam", gradcam), ("layercam", layercam))}

    def cam(self, layer, classes):
        """The same for the method cam."""
        return torch.einsum("nc,nchw->nhw", self.model.fc.weight[classes], self.values[layer]).detach()


# ---- terms (N,C,h,w) of a layer's output a and a score's gradient g ----

def mean(x):
    return x.mean((2, 3), keepdim=True)


def total(x):
    return x.sum((2, 3), keepdim=True)


def gradcam(a, g):
    return mean(g) * a


def gradcam_plus_plus(a, g):
    g = g.relu()
    return total(g * g ** 2 / (2 * g ** 2 + total(a) * g ** 3 + 1e-6)) * a


def xgradcam(a, g):
    return total(g * a) / (total(a) + 1e-7) * a


def hirescam(a, g):
    return g * a


def gradcam_elementwise(a, g):
    return (g * a).relu()


def layercam(a, g):
    return g.relu() * a


def eigencam(a, g):
    return a


def fem(a, g):
    above = a > mean(a) + 2 * a.std((2, 3), unbiased=False, keepdim=True)
    return mean(above.to(a.dtype)) * a


def randomcam(a, g):
    weights = 2 * random_numbers(0, a.shape[1]) - 1
    return torch.from_numpy(weights).to(a.dtype).view(1, -1, 1, 1) * a


# ---- terms (1,C,h,w) of a model, an input x (1,C,H,W), a layer and a class: all but fullgrad's ----

def logit(logits, class_index):
    return logits[0, class_index]


def finer_score(logits, class_index):
    z = logits[0]
    rivals = (z - z[class_index]).abs().argsort()[1:4]
    p = z.softmax(0)[rivals]
    return (p * (z[class_index] - z[rivals])).sum() / (p.sum() + 1e-9)


def of_gradient(terms, score=logit):
    def found(model, x, layer, class_index):
        run = Run(model, x, [layer])
        g, = torch.autograd.grad(score(run.logits, class_index), run.values[layer])
        return terms(run.values[layer].detach(), g)
    return found


def shapleycam(model, x, layer, class_index):
    run = Run(model, x, [layer])
    a = run.values[layer]
    g, = torch.autograd.grad(logit(run.logits, class_index), a, create_graph=True)
    second, = torch.autograd.grad(g, a, a.detach(), allow_unused=True) if g.requires_grad else [None]
    return (mean(g - 0.5 * (0 if second is None else second)) * a).detach()


def smoothgradcam_plus_plus(model, x, layer, class_index):
    a = Run(model, x, [layer]).values[layer].detach()
    gradients = []
    for noisy in noisy_inputs(x):
        run = Run(model, noisy, [layer])
        gradients += torch.autograd.grad(logit(run.logits, class_index), run.values[layer])
    g, g2, g3 = (torch.stack([g ** power for g in gradients]).mean(0) for power in (1, 2, 3))
    return total(g.relu() * g2 / (2 * g2 + total(a) * g3.relu() + 1e-8)) * a


@torch.no_grad()
def scorecam(model, x, layer, class_index):
    a = Run(model, x, [layer]).values[layer]
    masks = functional.interpolate(a, x.shape[2:], mode="bilinear", align_corners=True)[0, :, None]
    masks = masks - masks.amin((2, 3), keepdim=True)
    masks = masks / (masks.amax((2, 3), keepdim=True) + 1e-8)
    scores = torch.cat([model(x * some)[:, class_index] for some in masks.split(16)])
    return scores.softmax(0).view(1, -1, 1, 1) * a


@torch.no_grad()
def ablationcam(model, x, layer, class_index):
    run = Run(model, x, [layer])
    a, score = run.values[layer], logit(run.logits, class_index)
    lost = []
    for channels in torch.arange(a.shape[1]).split(16):
        ablated = a.repeat(len(channels), 1, 1, 1)
        ablated[range(len(channels)), channels] = 0
        hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: ablated)
        lost.append(score - model(x)[:, class_index])  # x alone up to the layer: what goes around it is broadcast
        hook.remove()
    return (torch.cat(lost) / score).view(1, -1, 1, 1) * a


def cam(model, x, layer, class_index):
    a = Run(model, x, [layer]).values[layer].detach()
    return model.fc.weight[class_index].detach().view(1, -1, 1, 1) * a


TERMS = {
    "gradcam": of_gradient(gradcam), "gradcam++": of_gradient(gradcam_plus_plus), "xgradcam": of_gradient(xgradcam),
    "hirescam": of_gradient(hirescam), "gradcam-elementwise": of_gradient(gradcam_elementwise),
    "layercam": of_gradient(layercam), "eigencam": of_gradient(eigencam), "eigengradcam": of_gradient(hirescam),
    "finercam": of_gradient(gradcam, finer_score), "shapleycam": shapleycam,
    "smoothgradcam++": smoothgradcam_plus_plus, "scorecam": scorecam, "ablationcam": ablationcam, "cam": cam,
    "fem": of_gradient(fem), "randomcam": of_gradient(randomcam),
}


# ---- raw maps (1,h,w) ----

def first_principal_component(terms):
    matrix = terms[0].flatten(1).T
    matrix = matrix - matrix.mean(0)
    found = (matrix @ torch.linalg.svd(matrix, full_matrices=False)[2][0]).view(1, *terms.shape[2:])
    return -found if found.min().abs() > found.max() else found


def fullgrad(model, x, class_index):
    """(1,H,W)"""
    biases = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            biases[name] = module.bias - module.running_mean * scale
        elif isinstance(module, nn.Conv2d) and module.bias is not None:
            biases[name] = module.bias
    x = x.detach().clone().requires_grad_()
    run = Run(model, x, list(biases))
    g, *gradients = torch.autograd.grad(logit(run.logits, class_index), [x, *run.values.values()])
    found = 0
    for part in [x * g] + [biases[name].view(1, -1, 1, 1) * g for name, g in zip(run.values, gradients)]:
        part = part.detach().abs()
        part = part - part.amin((2, 3), keepdim=True)
        part = part / (1e-7 + part.amax((2, 3), keepdim=True))
        found = found + functional.interpolate(part, x.shape[2:], mode="bilinear", align_corners=False).sum(1)
    return found


def raw_map(method, model, x, layer, class_index, eigen_smooth=False):
    if method == "fullgrad":
        return fullgrad(model, x, class_index)
    terms = TERMS[method](model, x, layer, class_index)
    principal = eigen_smooth or method in ("eigencam", "eigengradcam")
    return first_principal_component(terms) if principal else terms.sum(1)


# ---- finished maps ----

def finish(raws, size):
    """Layers' signed maps (N,h,w) to maps (N,*size) in [0,1]."""
    shares = [functional.interpolate(normalize(raw)[:, None], size, mode="bilinear", align_corners=False)[:, 0]
              for raw in raws]
    return normalize(torch.stack(shares).mean(0))


def normalize(raw):
    positive = raw.relu()
    positive = positive - positive.amin((1, 2), keepdim=True)
    return positive / (1e-7 + positive.amax((1, 2), keepdim=True))


def augmented_inputs(x):
    return [factor * version for version in (x, x.flip(3)) for factor in (0.9, 1, 1.1)]


def aug_smooth(make_raw_map, x):
    """The mean of six versions' finished maps; make_raw_map: of an input."""
    maps = [finish([make_raw_map(version)], x.shape[2:]) for version in augmented_inputs(x)]
    return torch.stack(maps[:3] + [one.flip(2) for one in maps[3:]]).mean(0)


# ---- camrun's random numbers (cam/random.h) ----

def random_numbers(seed, count):
    """SplitMix64, in [0,1)."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2 ** 53


@functools.lru_cache(maxsize=2)
def noise(shape):
    uniform = random_numbers(0, 2 * 4 * int(np.prod(shape))).reshape(4, *shape[1:], 2)
    normal = np.sqrt(-2 * np.log(1 - uniform[..., 0])) * np.cos(2 * np.pi * uniform[..., 1])
    return torch.from_numpy((0.3 * normal).astype(np.float32))


def noisy_inputs(x):
    """The four copies of smoothgradcam++ for the seed 0."""
    return [x + one.to(x.dtype) for one in noise(tuple(x.shape))]


def relative_error(found, expected):
    """Largest difference over the largest expected value; infinite where shapes differ, NaN where a NaN is."""
    if found.shape != expected.shape:
        return float("inf")
    scale = expected.abs().max().item()
    error = (found.double() - expected.double()).abs().max().item()
    return error / scale if scale > 0 else error
