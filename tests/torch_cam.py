"""Class activation maps from PyTorch's own autograd: what camrun's are compared with. Formulas as in cam/methods.h and
cam/map.h, shapes and layers' names as in torchvision."""
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
        maps = {}
        for layer, g in zip(self.layers, gradients):
            a = self.values[layer].detach()
            maps["gradcam", layer] = (g.mean((2, 3), keepdim=True) * a).sum(1)
            maps["layercam", layer] = (g.relu() * a).sum(1)
        return maps

    def cam(self, layer, classes):
        """The same for the method cam."""
        return torch.einsum("nc,nchw->nhw", self.model.fc.weight[classes], self.values[layer]).detach()


def finish(raws, size):
    """Layers' signed maps (N,h,w) to maps (N,*size) in [0,1]."""
    shares = [functional.interpolate(normalize(raw)[:, None], size, mode="bilinear", align_corners=False)[:, 0]
              for raw in raws]
    return normalize(torch.stack(shares).mean(0))


def normalize(raw):
    positive = raw.relu()
    positive = positive - positive.amin((1, 2), keepdim=True)
    return positive / (1e-7 + positive.amax((1, 2), keepdim=True))


def relative_error(found, expected):
    """Largest difference over the largest expected value; infinite where shapes differ, NaN where a NaN is."""
    if found.shape != expected.shape:
        return float("inf")
    scale = expected.abs().max().item()
    error = (found.double() - expected.double()).abs().max().item()
    return error / scale if scale > 0 else error
