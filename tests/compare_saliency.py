#!/usr/bin/env python3
"""Compares camrun saliency with PyTorch's autograd, live: the same random weights, the same picture.

    make && /usr/bin/python3 tests/compare_saliency.py [--quick]

For each network, at two awkward sizes: the gradient at the input of the best class's logit and of the mean activation of a
filter in the middle of the network, as it is and under the rules of guided backpropagation and the deconvolutional network,
which are backward hooks of every ReLU module; and for ResNet18 SmoothGrad and integrated gradients, whose inputs are made
here by the same formulas, and Guided Grad-CAM. The weights are moved a little so that no value of these inputs lies at a kink
of a ReLU or max-pool (margins.py says why). Needs torch, torchvision and Pillow."""
import argparse
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "scripts"))
import convert_torchvision as networks  # noqa: E402
import margins  # noqa: E402
import torch_cam  # noqa: E402
from synthetic import mix  # noqa: E402
from test_program import preprocess  # noqa: E402

MIDDLE = {"alexnet": ("features.8", 200), "vgg19": ("features.16", 17), "resnet18": ("layer3.1.conv1", 45),
          "resnet34": ("layer3.4.conv2", 45), "resnet50": ("layer2.1.conv2", 99)}
TOLERANCE = 1e-4
SIZES = [(170, 131), (96, 224)]  # W, H
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PICTURE = os.path.join(ROOT, "cam", "demo", "shapes.png")
SAMPLES, STEPS = 3, 3


def rule(name):
    """A ReLU's backward hook."""
    def hook(module, grad_input, grad_output):
        if name == "guided":
            return (grad_input[0].clamp(min=0),)
        return (grad_output[0].clamp(min=0),)
    return hook


def gradient(model, x, score, method="vanilla"):
    hooks = [module.register_full_backward_hook(rule(method)) for module in model.modules()
             if isinstance(module, nn.ReLU) and method != "vanilla"]
    x = x.clone().requires_grad_()
    out, = torch.autograd.grad(score(model, x).sum(), x)
    for hook in hooks:
        hook.remove()
    return out


def logit(k):
    return lambda model, x: model(x)[:, k]


def mean_of_filter(layer, k):
    def score(model, x):
        values = []
        hook = model.get_submodule(layer).register_forward_hook(lambda module, inputs, output: values.append(output))
        model(x)
        hook.remove()
        return values[0][:, k].mean((1, 2))
    return score


def noisy_inputs(x, noise, seed):
    """cam/random.h's normal numbers."""
    def uniform(i):
        with np.errstate(over="ignore"):
            z = mix(np.uint64(seed) + (i + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15))
        return (z >> np.uint64(11)).astype(np.float64) / 2 ** 53
    i = np.arange(SAMPLES * x.numel(), dtype=np.uint64)
    normal = np.sqrt(-2 * np.log(1 - uniform(2 * i))) * np.cos(2 * np.pi * uniform(2 * i + np.uint64(1)))
    deviation = noise * float(x.max() - x.min())
    return x + torch.from_numpy((deviation * normal).astype(np.float32).reshape(SAMPLES, *x.shape[1:]))


def steps_from_black(x):
    black = torch.tensor([-m / s for m, s in zip(MEAN, STD)]).view(1, 3, 1, 1).expand_as(x)
    t = (torch.arange(STEPS).view(-1, 1, 1, 1) + 0.5) / STEPS
    return black, black + t * (x - black)


def run_camrun(program, folder, weights, size, *arguments):
    path = os.path.join(folder, "raw.npy")
    subprocess.run([program, "saliency", "--weights", weights, "--resize", f"{size[0]}x{size[1]}", PICTURE, "--save-raw", path,
                    *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    return torch.from_numpy(np.load(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=list(MIDDLE), help="default: all five")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: %(default)s)")
    parser.add_argument("--camrun", default=os.path.join(ROOT, "camrun"), help="the program (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one network, one size")
    args = parser.parse_args()
    program = os.path.abspath(args.camrun)
    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.bin")
        for arch in args.arch or (["resnet18"] if args.quick else MIDDLE):
            for size in SIZES[:1] if args.quick else SIZES:
                x = torch.from_numpy(preprocess(PICTURE, size, None, MEAN, STD))
                noisy = noisy_inputs(x, 0.1, 7)
                black, steps = steps_from_black(x)
                model = networks.create_model(arch).eval()
                networks.randomize(model, args.seed)
                for module in model.modules():
                    if isinstance(module, nn.ReLU):
                        module.inplace = False
                margins.widen(model, [x, noisy, steps] if arch == "resnet18" else [x])
                networks.save(weights, model, arch, {})
                k = model(x).argmax().item()
                layer, channel = MIDDLE[arch]
                cases = {}
                for method in "vanilla", "guided", "deconvnet":
                    cases[f"{method}, logit"] = (gradient(model, x, logit(k), method), ["--method", method, "--class", k])
                    cases[f"{method}, {layer}"] = (gradient(model, x, mean_of_filter(layer, channel), method),
                                                   ["--method", method, "--layer", layer, "--filter", channel])
                if arch == "resnet18":
                    cases["inputxgradient"] = (x * gradient(model, x, logit(k)), ["--method", "inputxgradient"])
                    cases["smoothgrad"] = (gradient(model, noisy, logit(k)).mean(0, keepdim=True),
                                           ["--method", "smoothgrad", "--samples", SAMPLES, "--noise", 0.1, "--seed", 7])
                    cases["integrated"] = (gradient(model, steps, logit(k)).mean(0, keepdim=True) * (x - black),
                                           ["--method", "integrated", "--steps", STEPS])
                    run = torch_cam.Run(model, x, ["layer4"])
                    cam = torch_cam.finish([run.raw_maps(torch.tensor([k]))["gradcam", "layer4"]], x.shape[2:])
                    cases["guidedgradcam"] = (gradient(model, x, logit(k), "guided") * cam, ["--method", "guidedgradcam"])
                for title, (expected, arguments) in cases.items():
                    error = torch_cam.relative_error(run_camrun(program, folder, weights, size, *arguments), expected[0])
                    ok = error <= TOLERANCE
                    passed += ok
                    failed += not ok
                    print(f"{arch:9} {size[0]}x{size[1]:<4} {title:26} {error:.1e}{'' if ok else '  FAILED'}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
