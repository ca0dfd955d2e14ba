#!/usr/bin/env python3
"""Compares every method of camrun with pytorch-grad-cam, and with its formula in PyTorch, live: the same random weights
and the same input go into all, and the maps must agree. Writes the tables of tests/PARITY.md.

    make && python3 tests/parity_methods.py [--arch resnet18] [--method gradcam++] [-o tests/PARITY.md]
    jq -s add resnet18.json vgg19.json > all.json         # what two runs with --keep found, for --keep all.json -o PARITY.md

pytorch-grad-cam is called as its users call it, in float32; the formulas (torch_cam.py) run in float64. Compared are the
signed map at the layer's size and the finished one, in [0,1] at the input's size. The weights are those of the
converter's --random, moved a little so that no value lies at a kink of a ReLU or max-pool (margins.py), and no ReLU works
in place, else a hooked convolution's values are overwritten by the ReLU behind it. (numpy's full_matrices=True, with
which pytorch-grad-cam computes principal components, needs 10 GB for a shallow layer and is switched off: it does not
change the map.)

Needs torch and torchvision, and grad-cam 1.5.7 for its part."""
import argparse
import contextlib
import copy
import importlib.metadata
import importlib.util
import io
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from PIL import Image
from torchvision.transforms._presets import ImageClassification

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(ROOT, "scripts")
sys.path.insert(0, SCRIPTS)
import convert_torchvision as networks  # noqa: E402
import margins  # noqa: E402
import safetensors_file  # noqa: E402
import torch_cam  # noqa: E402

TOLERANCE = 1e-4
OTHER_CLASS = 283
# The last feature map; one inside, whose values have both signs, with a shortcut around it in ResNets; a shallow one.
LAYERS = {"alexnet": ["features.12", "features.8", "features.4"],
          "resnet18": ["layer4", "layer3.0.conv2", "layer1"], "resnet34": ["layer4", "layer3.0.conv2", "layer1"],
          "resnet50": ["layer4", "layer3.0.conv2", "layer1"],
          "vgg19": ["features.36", "features.28", "features.8"]}
# camrun's --method and further options: the class of pytorch-grad-cam
METHODS = {
    "gradcam": "GradCAM", "gradcam++": "GradCAMPlusPlus", "xgradcam": "XGradCAM", "hirescam": "HiResCAM",
    "gradcam-elementwise": "GradCAMElementWise", "layercam": "LayerCAM", "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM", "finercam": "FinerCAM", "shapleycam": "ShapleyCAM", "smoothgradcam++": None,
    "fullgrad": "FullGrad", "scorecam": "ScoreCAM", "ablationcam": "AblationCAM", "cam": None, "fem": "FEM",
    "randomcam": None,
    "gradcam --eigen-smooth": "GradCAM", "layercam --eigen-smooth": "LayerCAM",
    "gradcam --aug-smooth": "GradCAM", "layercam --aug-smooth": "LayerCAM",
}
SIZE, SMALL_SIZE = 224, 112
# All on the smaller input, with noise: their first max-pool has too many windows to keep all of them off a kink, and where
# the picture is flat, windows of equal values.
SMALL = ["vgg19"]
SLOW = ["scorecam", "ablationcam"]  # a forward for every channel: one class, on the smaller input
SOFTMAX = ["finercam", "scorecam"]  # of logits: of random ones, in the hundreds, it would be 1 for the largest and 0 else
LOGITS = 4  # their standard deviation for these methods, which see the last layer scaled
# Their formulas divide by what may come near zero (where a layer's values have both signs), or subtract what may be nearly
# equal. It magnifies rounding, wherever the map is computed. Where one of their errors is above TOLERANCE, it is judged by
# how far the formula's own map moves when all weights do, at random.
SENSITIVE = ["gradcam++", "smoothgradcam++", "xgradcam", "ablationcam"]
NUDGE = 3e-7  # of a weight, relative: of a layer's values and gradients it makes what rounding to float32 makes
NUDGES, NUDGED = 4, 5  # how often, and how many times as far as the farthest an error may be


class Subject:
    """A network, inputs and the classes that are explained."""

    def __init__(self, arch, model, metadata, x, small_x, folder):
        self.arch, self.model, self.exact_model = arch, model, copy.deepcopy(model).double()
        self.x, self.small_x = x, small_x
        self.classes = [torch_cam.Run(model, x, []).logits.argmax().item(), OTHER_CLASS]
        self.folder = folder
        networks.save(os.path.join(folder, "weights.bin"), model, arch, metadata)
        np.save(os.path.join(folder, "x.npy"), self.x.numpy())
        np.save(os.path.join(folder, "small_x.npy"), self.small_x.numpy())

    def input_of(self, method):
        return self.small_x if method in SLOW else self.x

    def classes_of(self, method):
        return self.classes[:1] if method in SLOW else self.classes

    @torch.no_grad()
    def nudged_model(self, seed):
        model, generator = copy.deepcopy(self.exact_model), torch.Generator().manual_seed(seed)
        for weights in model.parameters():
            weights *= 1 + NUDGE * torch.randn(weights.shape, generator=generator, dtype=weights.dtype)
        return model


def make_subjects(arch, seed, picture, folder):
    """Of the methods but SOFTMAX, and of these."""
    random_path = os.path.join(folder, "random.bin")
    subprocess.run([sys.executable, os.path.join(SCRIPTS, "convert_torchvision.py"), "--arch", arch, "--random",
                    str(seed), "-o", random_path], check=True)
    tensors, metadata = safetensors_file.read(random_path)
    model = networks.model_of_state_dict(arch, {name: torch.tensor(array) for name, array in tensors.items()},
                                         random_path)
    photo = Image.open(picture).convert("RGB")
    x, small_x = (ImageClassification(crop_size=size)(photo)[None] for size in (SIZE, SMALL_SIZE))
    if arch in SMALL:
        x = small_x = torch_cam.noisy_inputs(small_x)[0]
    relu_gap, pool_gap, _ = margins.widen(model, torch_cam.augmented_inputs(x) + torch_cam.noisy_inputs(x))
    print(f"{arch:9} nothing nearer to a kink than {relu_gap:.1e} (ReLU), {pool_gap:.1e} (max-pool)", flush=True)
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scale = LOGITS / model.eval()(x).std()
        for weights in scaled.get_submodule(networks.last_linear(arch)).parameters():
            weights *= scale
    return [Subject(arch, one, metadata, x, small_x, tempfile.mkdtemp(dir=folder)) for one in (model, scaled)]


# ---- one pair of maps each: (signed, finished), signed None with --aug-smooth ----

def run_camrun(program, subject, layer, method):
    """Of all classes."""
    paths = {name: os.path.join(subject.folder, name + ".npy") for name in ("raw", "map")}
    classes = subject.classes_of(method)
    command = [program, "--weights", os.path.join(subject.folder, "weights.bin"), "--tensor",
               os.path.join(subject.folder, "small_x.npy" if method in SLOW else "x.npy"), "--method", *method.split(),
               "--class", ",".join(map(str, classes)), "--save-raw", paths["raw"], "--save-map", paths["map"]]
    subprocess.run(command + (["--layer", layer] if layer else []), check=True, stdout=subprocess.DEVNULL)
    raws, maps = (np.load(path).reshape(len(classes), *np.load(path).shape[-2:]) for path in paths.values())
    return list(zip([None] * len(classes) if "aug" in method else raws, maps))


def run_formula(model, subject, layer, method, class_index):
    x = subject.input_of(method).double()

    def make(version):
        name, eigen_smooth = method.split()[0], "eigen-smooth" in method
        return torch_cam.raw_map(name, model, version, layer, class_index, eigen_smooth).detach()

    if "aug" in method:
        return None, torch_cam.aug_smooth(make, x)[0].numpy()
    raw = make(x)
    return raw[0].numpy(), torch_cam.finish([raw], x.shape[2:])[0].numpy()


def thin_svd(matrix, full_matrices, svd=np.linalg.svd):
    return svd(matrix, full_matrices=False)


def run_pytorch_grad_cam(subject, layer, method, class_index):
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    np.linalg.svd = thin_svd
    explain = getattr(pytorch_grad_cam, METHODS[method])
    arguments = {"target_idx": class_index} if method == "finercam" else {
        "targets": [ClassifierOutputTarget(class_index)]}
    arguments.update({option: True for option in ("eigen_smooth", "aug_smooth") if option.replace("_", "-") in method})
    target_layers = [subject.model.get_submodule(layer)] if layer else []
    raws = []
    with contextlib.redirect_stderr(io.StringIO()), explain(subject.model, target_layers) as cam:
        base = getattr(cam, "base_cam", cam)  # Finer-CAM wraps Grad-CAM
        step = "get_cam_image" if layer else "compute_cam_per_layer"
        original = getattr(base, step)
        setattr(base, step, lambda *args: raws.append(original(*args)) or raws[-1])
        finished = cam(input_tensor=subject.input_of(method).clone(), **arguments)
    return None if "aug" in method else np.squeeze(raws[0]), np.squeeze(finished)


# ---- comparing ----

def error_of(found, expected, method):
    """The larger one of: the signed maps' largest difference over the largest expected value, and the finished maps'
    largest difference. The sign of a principal component is arbitrary: where signs differ, signed maps alone."""
    (raw, finished), (expected_raw, expected_finished) = found, expected
    error = np.abs(finished.astype(np.float64) - expected_finished).max()
    if raw is None:
        return error
    if "eigen" in method and np.sum(raw * expected_raw) < 0:
        expected_raw, error = -expected_raw, 0.0
    scale = max(np.abs(expected_raw).max(), np.finfo(np.float32).tiny)  # below it, a map is 0 in float32
    return float(max(error, np.abs(raw.astype(np.float64) - expected_raw).max() / scale))


def compare(program, subject, layer, method, with_peer):
    """(error against pytorch-grad-cam or None, error against the formula, pytorch-grad-cam's own against it or None, how
    far the formula's map moves with the weights or None)"""
    classes = subject.classes_of(method)

    def formula(model):
        return [run_formula(model, subject, layer, method, c) for c in classes]

    def error(found, expected):
        return max(error_of(*pair, method) for pair in zip(found, expected))

    found, exact = run_camrun(program, subject, layer, method), formula(subject.exact_model)
    ours, peer, theirs, moved = error(found, exact), None, None, None
    if with_peer and METHODS[method]:
        maps = [run_pytorch_grad_cam(subject, layer, method, c) for c in classes]
        peer, theirs = error(found, maps), error(maps, exact)
    if method in SENSITIVE and ours > TOLERANCE:
        moved = max(error(formula(subject.nudged_model(seed)), exact) for seed in range(NUDGES))
    return peer, ours, theirs, moved


def passes(peer, ours, theirs, moved):
    """Near the formula; and near pytorch-grad-cam, or it is the one that is not near the formula."""
    bound = max(TOLERANCE, NUDGED * (moved or 0))
    return ours <= bound and (peer is None or peer <= bound or peer <= 2 * theirs)


def layers_of(arch, method, quick):
    layers = LAYERS[arch]
    if method == "fullgrad":
        return [None]
    if method == "cam":
        return layers[:1] if arch.startswith("resnet") else []
    return layers if not quick else layers[-1:] if method in SLOW else layers[:2]


# ---- tables ----

def table(errors, columns, methods, which):
    """which: place in compare's answer"""
    lines = ["| method | " + " | ".join(f"{arch} {layer}" for arch, layer in columns) + " |",
             "|---|" + "--:|" * len(columns)]
    for method in methods:
        found = [errors.get((method, arch, layer), errors.get((method, arch, None))) for arch, layer in columns]
        figures = [None if one is None else one[which] for one in found]
        cells = ["" if error is None else f"{error:.0e}" if error <= TOLERANCE else f"**{error:.0e}**"
                 for error in figures]
        if any(cells):
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


TEXT = """# Parity of the methods

Written by `tests/parity_methods.py -o tests/PARITY.md` with {versions}.

torchvision's networks with random weights and batchnorm statistics (seed {seed}), one picture of 224x224, the class of the
largest logit and another; Score-CAM and Ablation-CAM, which run the network for every channel, the first class on 112x112.
VGG19 has 112x112 throughout, with noise: its first max-pools have too many windows to keep all of them off a kink at 224x224,
and where the picture is flat, windows of equal values, of which PyTorch takes the first and camrun, after Winograd, any.
Finer-CAM and Score-CAM, which see the logits through a softmax, have the last layer scaled until their standard deviation
is {logits}: otherwise it is 8 (ResNet18) to 4000 (VGG19), and the softmax soon 1 for one class and 0 for all others.
Layers: the last feature map, one inside whose values have both signs (in ResNets there is a shortcut around it), and a
shallow one; FullGrad explains all layers together.

An error is the larger one of two: of signed maps, the largest difference over the largest value; of finished maps, in [0,1],
the largest difference. Of principal components, whose sign is arbitrary, signed maps alone are compared where it differs.
**Bold** is above {tolerance:g}. Empty: CAM is a ResNet's last feature map's alone.

## camrun against pytorch-grad-cam, live, both in float32

{peer}
## camrun against the formula in PyTorch, in float64

Here are also the methods that pytorch-grad-cam does not have, or (randomcam) has with other random numbers.

{ours}
## pytorch-grad-cam against the formula, in float64

{theirs}
## What rounding does to the formula

Grad-CAM++, Smooth Grad-CAM++ and XGrad-CAM divide by 2 g^2 + sum(A) g^3, or by sum(A). Behind a ReLU, where their papers have them,
both are above 0; of a layer whose values have both signs they come near zero at some pixels or channels, and magnify the
rounding of A and g, whoever computes them. So does Ablation-CAM's s - s_k where a channel matters little. This is how far the
formula's own map moves, in float64, when every weight of the network is moved at random by {nudge:g} of itself, which changes A
and g by about as much as float32 does; the largest of {nudges} times, where camrun's error is above {tolerance:g}. That error may be {nudged}
times as large.

{moved}
## What is above {tolerance:g}, and why

- **ablationcam where a layer's values have both signs.** pytorch-grad-cam does not set a channel to 0 there, as the paper does,
  but to the least value of its batch less 10,000,000, and that value falls by as much again with every channel of a batch:
  the map depends on the order of the channels, unless a ReLU follows (alexnet, vgg19). camrun follows the paper; the second
  table is the comparison.
- **gradcam++, smoothgradcam++ and xgradcam where a layer's values have both signs.** Magnified rounding of A and g (the fourth
  table), which both programs compute in float32. Root mean square errors, of the values' own, in camrun and in PyTorch: A 9e-7
  and 8e-7 (resnet50), 9e-7 and 7e-7 (resnet18), 3e-7 and 3e-7 (vgg19, alexnet); g 1.2e-6 and 8e-7, 8e-7 and 5e-7,
  1.6e-6 and 1.2e-6, 1.3e-6 and 1.2e-6. At resnet50 some denominator is 4e-5 of its terms. With g exact and A alone rounded,
  Grad-CAM++ for the largest logit's class is off by nearly as much (camrun 1.9e-3 of 2.0e-3, PyTorch 1.5e-3 of 1.3e-3), and XGrad-CAM
  just as much; at alexnet it is g. camrun adds up in double; sum(A) in float changes nothing that matters (2.0e-3).
- **scorecam at alexnet features.12, finercam at vgg19 features.8.** pytorch-grad-cam's own rounding (third table): a channel that is
  the same everywhere becomes, resized, a mask of rounding errors scaled to [0,1], which camrun leaves out; and the softmax's
  gradient is a sum of terms that nearly cancel, which camrun adds up in double.
- **ablationcam at resnet50 layer1.** s - s_k is a small difference of large numbers in float32, on both sides.
"""


def write(path, errors, archs, methods, seed):
    columns = [(arch, layer) for arch in archs for layer in LAYERS[arch]]
    tables = [table(errors, columns, methods, which) for which in range(3)]
    moved = table(errors, [column for column in columns if any(errors.get((method, *column), [None])[-1]
                                                               for method in methods)], methods, 3)
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("grad-cam", "torch", "numpy"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(TEXT.format(versions=versions, seed=seed, tolerance=TOLERANCE, peer=tables[0], ours=tables[1],
                               theirs=tables[2], moved=moved, logits=LOGITS, nudge=NUDGE, nudges=NUDGES,
                               nudged=NUDGED))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", action="append", choices=list(LAYERS), help="default: all five")
    parser.add_argument("--method", action="append", choices=list(METHODS), help="default: all")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: %(default)s)")
    parser.add_argument("--picture", default=os.path.join(ROOT, "cam", "demo", "shapes.png"))
    parser.add_argument("--camrun", default=os.path.join(ROOT, "camrun"), help="the program (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="resnet18 and the formulas alone, one class, two layers")
    parser.add_argument("--keep", metavar="F.json", help="where figures are kept, and not measured again")
    parser.add_argument("-o", "--output", metavar="F.md", help="where the tables go (default: nowhere)")
    args = parser.parse_args()
    archs, methods = args.arch or (["resnet18"] if args.quick else list(LAYERS)), args.method or list(METHODS)
    if args.quick and not args.method:
        methods = [method for method in methods if not method.startswith("layercam --")]
    program = os.path.abspath(args.camrun)
    with_peer = not args.quick
    if with_peer and not importlib.util.find_spec("pytorch_grad_cam"):
        parser.error("pytorch-grad-cam is not installed: pip install grad-cam, or --quick for the formulas alone")

    errors = {}
    if args.keep and os.path.exists(args.keep):
        with open(args.keep, encoding="utf-8") as file:
            errors = {(method, arch, layer): figures for method, arch, layer, figures in json.load(file)}
    for arch in archs:
        todo = [(method, layer) for method in methods for layer in layers_of(arch, method, args.quick)
                if (method, arch, layer) not in errors]
        with tempfile.TemporaryDirectory() as folder:
            subjects = todo and make_subjects(arch, args.seed, args.picture, folder)
            for method, layer in todo:
                subject = subjects[method in SOFTMAX]
                if args.quick:
                    subject.classes = subject.classes[:1]
                figures = errors[method, arch, layer] = compare(program, subject, layer, method, with_peer)
                peer, ours, theirs, moved = figures
                text = f"{arch:9} {layer or 'all':15} {method:24} formula {ours:.1e}"
                text += "" if peer is None else f"  pytorch-grad-cam {peer:.1e}, its own {theirs:.1e}"
                text += "" if moved is None else f"  the formula moves {moved:.1e}"
                print(text + ("" if passes(*figures) else "  FAILED"), flush=True)
                if args.keep:
                    with open(args.keep, "w", encoding="utf-8") as file:
                        json.dump([[*key, figures] for key, figures in errors.items()], file)
    if args.output:
        write(args.output, errors, archs, methods, args.seed)
    failed = sum(not passes(*figures) for figures in errors.values())
    print(f"{len(errors) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
