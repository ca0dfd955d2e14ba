#!/usr/bin/env python3
"""Compares every method of camrun with pytorch-grad-cam, live: the same random weights and the same input go into both,
and the raw maps must agree. Prints a Markdown table.

    make && python3 tests/parity_methods.py [--arch resnet18] [--method gradcam++] [-o tests/PARITY.md]

What is compared is the signed map at the layer's size, before it is cut at zero, scaled and resized, as
pytorch-grad-cam's own call makes it. The weights are those of the converter's --random, moved a little so that no value
lies at a kink of a ReLU or max-pool (margins.py), and no ReLU works in place, else a hooked convolution's values are
overwritten by the ReLU behind it. Methods that pytorch-grad-cam does not have are compared with the formula of
cam/methods.c written with PyTorch's autograd. The sign of a principal component is arbitrary: maps that are one may
differ by it. (numpy's full_matrices=True, with which pytorch-grad-cam computes them, needs 10 GB for a shallow layer and
is switched off: it does not change the map.) Needs torch, torchvision, and grad-cam 1.5.

The error is the largest difference over the largest value of the expected map."""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.transforms._presets import ImageClassification

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(ROOT, "scripts")
sys.path.insert(0, SCRIPTS)
import convert_torchvision as networks  # noqa: E402
import margins  # noqa: E402
import safetensors_file  # noqa: E402
import torch_cam  # noqa: E402
import pytorch_grad_cam as pgc  # noqa: E402
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget  # noqa: E402

TOLERANCE = 1e-4
OTHER_CLASS = 283
# The last feature map, and a shallow one behind a ReLU: some methods divide by sums of A, which are near zero where A
# has both signs.
LAYERS = {"alexnet": ["features.12", "features.4"], "vgg19": ["features.36", "features.8"],
          "resnet18": ["layer4", "layer1"], "resnet34": ["layer4", "layer1"], "resnet50": ["layer4", "layer1"]}


# ---- the other side ----

class Subject:
    """A network, an input and what is asked of them."""

    def __init__(self, arch, model, x):
        self.arch, self.model, self.x = arch, model, x
        with torch.no_grad():
            self.classes = [model(x).argmax().item(), OTHER_CLASS]

    def run(self, layer):
        return torch_cam.Run(self.model, self.x, [layer])


def thin_svd(matrix, full_matrices, svd=np.linalg.svd):
    return svd(matrix, full_matrices=False)


np.linalg.svd = thin_svd


def pytorch_grad_cam(name, **arguments):
    """The raw map of a class of pytorch-grad-cam that is called as its users call it."""
    def raw_map(subject, layer, class_index):
        maps = []
        with getattr(pgc, name)(model=subject.model, target_layers=[subject.model.get_submodule(layer)]) as cam:
            make_map = cam.get_cam_image
            cam.get_cam_image = lambda *args: maps.append(make_map(*args)) or maps[-1]
            cam(input_tensor=subject.x, targets=[ClassifierOutputTarget(class_index)], **arguments)
        return maps[0][0]
    return raw_map


def cam(subject, layer, class_index):
    if not subject.arch.startswith("resnet") or layer != "layer4":
        return None
    return subject.run(layer).cam(layer, torch.tensor([class_index]))[0].numpy()


def finercam(subject, layer, class_index):
    maps = []
    with pgc.FinerCAM(model=subject.model, target_layers=[subject.model.get_submodule(layer)]) as finer:
        make_map = finer.base_cam.get_cam_image
        finer.base_cam.get_cam_image = lambda *args: maps.append(make_map(*args)) or maps[-1]
        finer(input_tensor=subject.x, target_idx=class_index)
    return maps[0][0]


def fullgrad(subject, layer, class_index):
    maps = []
    with pgc.FullGrad(model=subject.model, target_layers=[]) as cam:
        make_maps = cam.compute_cam_per_layer
        cam.compute_cam_per_layer = lambda *args: maps.append(make_maps(*args)) or maps[-1]
        cam(input_tensor=subject.x, targets=[ClassifierOutputTarget(class_index)])
    return maps[0][0, 0]


def aug_smooth(name):
    """The finished map: the mean of finished maps."""
    def mean_map(subject, layer, class_index):
        with getattr(pgc, name)(model=subject.model, target_layers=[subject.model.get_submodule(layer)]) as explain:
            return explain(input_tensor=subject.x, targets=[ClassifierOutputTarget(class_index)], aug_smooth=True)[0]
    return mean_map


def random_numbers(seed, count):
    """cam/random.h: SplitMix64."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2 ** 53


def randomcam(subject, layer, class_index):
    a = subject.run(layer).values[layer][0].detach().double().numpy()
    return np.tensordot(2 * random_numbers(0, len(a)) - 1, a, 1)


def noisy_inputs(x):
    """Those of cam/random.h, for the seed 0."""
    uniform = random_numbers(0, 2 * 4 * x.numel()).reshape(4, *x.shape[1:], 2)
    noise = 0.3 * np.sqrt(-2 * np.log(1 - uniform[..., 0])) * np.cos(2 * np.pi * uniform[..., 1])
    return [x + torch.from_numpy(one.astype(np.float32)) for one in noise]


def smoothgradcam_plus_plus(subject, layer, class_index):
    a = subject.run(layer).values[layer].detach()
    gradients = []
    for noisy in noisy_inputs(subject.x):
        run = torch_cam.Run(subject.model, noisy, [layer])
        gradients.append(torch.autograd.grad(run.logits[0, class_index], run.values[layer])[0])
    g, g2, g3 = (torch.stack([g ** power for g in gradients]).mean(0) for power in (1, 2, 3))
    alpha = g2 / (2 * g2 + a.sum((2, 3), keepdim=True) * g3.relu() + 1e-8)
    weights = (alpha * g.relu()).sum((2, 3), keepdim=True)
    return (weights * a).sum(1)[0].numpy()


# camrun's --method and further options: (what it is compared with, its name there)
METHODS = {
    "gradcam": (pytorch_grad_cam("GradCAM"), "GradCAM"),
    "gradcam++": (pytorch_grad_cam("GradCAMPlusPlus"), "GradCAMPlusPlus"),
    "xgradcam": (pytorch_grad_cam("XGradCAM"), "XGradCAM"),
    "hirescam": (pytorch_grad_cam("HiResCAM"), "HiResCAM"),
    "gradcam-elementwise": (pytorch_grad_cam("GradCAMElementWise"), "GradCAMElementWise"),
    "layercam": (pytorch_grad_cam("LayerCAM"), "LayerCAM"),
    "eigencam": (pytorch_grad_cam("EigenCAM"), "EigenCAM"),
    "eigengradcam": (pytorch_grad_cam("EigenGradCAM"), "EigenGradCAM"),
    "finercam": (finercam, "FinerCAM"),
    "shapleycam": (pytorch_grad_cam("ShapleyCAM"), "ShapleyCAM"),
    "smoothgradcam++": (smoothgradcam_plus_plus, "formula"),
    "fullgrad": (fullgrad, "FullGrad"),
    "scorecam": (pytorch_grad_cam("ScoreCAM"), "ScoreCAM"),
    "ablationcam": (pytorch_grad_cam("AblationCAM"), "AblationCAM"),
    "cam": (cam, "formula"),
    "fem": (pytorch_grad_cam("FEM"), "FEM"),
    "randomcam": (randomcam, "formula"),
    "gradcam --eigen-smooth": (pytorch_grad_cam("GradCAM", eigen_smooth=True), "GradCAM, eigen_smooth"),
    "layercam --eigen-smooth": (pytorch_grad_cam("LayerCAM", eigen_smooth=True), "LayerCAM, eigen_smooth"),
    "gradcam --aug-smooth": (aug_smooth("GradCAM"), "GradCAM, aug_smooth"),
    "layercam --aug-smooth": (aug_smooth("LayerCAM"), "LayerCAM, aug_smooth"),
}


# ---- camrun ----

def run_camrun(program, folder, subject, layer, method):
    """Raw maps of both classes, with --aug-smooth finished ones; layer None: of all layers together."""
    path = os.path.join(folder, "map.npy")
    options = ["--layer", layer] if layer else []
    options += ["--save-map" if "aug" in method else "--save-raw", path]
    subprocess.run([program, "--weights", os.path.join(folder, "adjusted.bin"), "--tensor",
                    os.path.join(folder, "x.npy"), "--method", *method.split(), "--class",
                    ",".join(map(str, subject.classes)), *options], check=True, stdout=subprocess.DEVNULL)
    return np.load(path)


def make_subject(arch, seed, picture, folder):
    random_path, path = (os.path.join(folder, name) for name in ("random.bin", "adjusted.bin"))
    subprocess.run([sys.executable, os.path.join(SCRIPTS, "convert_torchvision.py"), "--arch", arch, "--random",
                    str(seed), "-o", random_path], check=True)
    tensors, metadata = safetensors_file.read(random_path)
    model = networks.model_of_state_dict(arch, {name: torch.tensor(array) for name, array in tensors.items()},
                                         random_path)
    x = ImageClassification(crop_size=224)(Image.open(picture).convert("RGB"))[None]
    augmented = [factor * version for version in (x, x.flip(3)) for factor in (0.9, 1, 1.1)]
    relu_gap, pool_gap, _ = margins.widen(model, augmented + noisy_inputs(x))
    print(f"{arch:9} nothing nearer to a kink than {relu_gap:.1e} (ReLU), {pool_gap:.1e} (max-pool)", file=sys.stderr)
    networks.save(path, model, arch, metadata)
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return Subject(arch, model, x)


def relative_error(found, expected):
    if found.shape != expected.shape:
        return float("inf")
    scale = np.abs(expected).max()
    error = np.abs(found.astype(np.float64) - expected).max()
    return float(error / scale if scale > 0 else error)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=list(LAYERS), help="default: all five")
    parser.add_argument("--method", action="append", choices=list(METHODS), help="default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: %(default)s)")
    parser.add_argument("--picture", default=os.path.join(ROOT, "cam", "demo", "shapes.png"))
    parser.add_argument("--camrun", default=os.path.join(ROOT, "camrun"), help="the program (default: %(default)s)")
    parser.add_argument("-o", "--output", metavar="F.md", help="where the table goes (default: standard output)")
    args = parser.parse_args()
    archs, methods = args.arch or list(LAYERS), args.method or list(METHODS)
    program = os.path.abspath(args.camrun)

    errors, failed = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        for arch in archs:
            subject = make_subject(arch, args.seed, args.picture, folder)
            for method in methods:
                for layer in [*LAYERS[arch], None]:
                    if (layer is None) != (method == "fullgrad"):
                        continue
                    expected = [METHODS[method][0](subject, layer, c) for c in subject.classes]
                    if expected[0] is None:
                        continue
                    found = run_camrun(program, folder, subject, layer, method)
                    if "eigen" in method:
                        expected = [e if np.sum(f * e) > 0 else -e for f, e in zip(found, expected)]
                    error = max(map(relative_error, found, expected))
                    errors[method, arch, layer] = error
                    failed += not error <= TOLERANCE
                    verdict = "" if error <= TOLERANCE else "  FAILED"
                    print(f"{arch:9} {layer or 'all':12} {method:24} {error:.1e}{verdict}", file=sys.stderr, flush=True)
    print(f"{len(errors) - failed} passed, {failed} failed", file=sys.stderr)

    columns = [(arch, layer) for arch in archs for layer in LAYERS[arch]]
    lines = ["| method | compared with | " + " | ".join(f"{arch} {layer}" for arch, layer in columns) + " |",
             "|---|---|" + "--:|" * len(columns)]
    for method in methods:
        found = [errors.get((method, arch, layer), errors.get((method, arch, None))) for arch, layer in columns]
        cells = ["" if error is None else f"{error:.0e}" for error in found]
        lines.append(f"| {method} | {METHODS[method][1]} | " + " | ".join(cells) + " |")
    text = "\n".join(lines) + "\n"
    if args.output:
        with open(args.output, "w", encoding="utf-8") as file:
            file.write(text)
    else:
        print(text, end="")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
