#!/usr/bin/env python3
"""Times Score-CAM and Ablation-CAM, which run a network once for every channel of a layer, against pytorch-grad-cam: same
weights, same input, same number of threads, float32. Prints a Markdown table.

    make && python3 bench/compare_channels.py [--archs resnet34] [--methods scorecam] [--rounds 1]

One run of pytorch-grad-cam takes from 2 to 90 s, so there is no warm-up, and few rounds, in which both take turns: the
medians. Both explain the same class; their maps are compared before a time counts. Times are of a
loaded network, from the input to the finished map. Needs torch, torchvision and grad-cam (requirements.txt)."""
import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "scripts"))
LAYERS = {"alexnet": "features.12", "vgg19": "features.36", "resnet18": "layer4", "resnet34": "layer4",
          "resnet50": "layer4"}
METHODS = {"scorecam": "ScoreCAM", "ablationcam": "AblationCAM"}
CLASS = 5
TOLERANCE = 1e-3


def run_camrun(args, folder, layer, method):
    """(milliseconds, map)"""
    path = os.path.join(folder, "map.npy")
    done = subprocess.run([args.camrun, "--weights", os.path.join(folder, "net.bin"), "--tensor",
                           os.path.join(folder, "x.npy"), "--method", method, "--layer", layer, "--class", str(CLASS),
                           "--threads", str(args.threads), "--json", "--save-map", path], capture_output=True, check=True)
    image = json.loads(done.stdout)["images"][0]
    ms = image["forward_ms"] + image["scores_ms"] + image["maps"][0]["map_ms"]
    return ms, np.load(path).reshape(224, 224)


def run_pytorch_grad_cam(model, x, layer, method):
    """(milliseconds, map)"""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    with contextlib.redirect_stderr(io.StringIO()), \
            getattr(pytorch_grad_cam, METHODS[method])(model, [model.get_submodule(layer)]) as cam:
        start = time.perf_counter()
        found = cam(input_tensor=x, targets=[ClassifierOutputTarget(CLASS)])
        return 1e3 * (time.perf_counter() - start), found[0]


def compare(args, arch, folder):
    """Prints lines of the table."""
    import torch
    import convert_torchvision as networks
    torch.set_num_threads(args.threads)
    model = networks.create_model(arch)
    networks.randomize(model, 1)
    networks.save(os.path.join(folder, "net.bin"), model, arch, {})
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32))
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    for module in model.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    layer = args.layer or LAYERS[arch]
    for method in args.methods:
        ours, theirs = [], []
        for _ in range(args.rounds):
            ms, found = run_camrun(args, folder, layer, method)
            ours.append(ms)
            ms, expected = run_pytorch_grad_cam(model, x, layer, method)
            theirs.append(ms)
            error = np.abs(found - expected).max()
            if not error <= TOLERANCE:
                sys.exit(f"{arch} {method}: maps differ by {error:.2g}, more than {TOLERANCE:g}")
        a, b = statistics.median(ours), statistics.median(theirs)
        print(f"| {method} | {arch} {layer} | {a:,.0f} | {b:,.0f} | {a / b:.3f}x |", flush=True)


def main():
    def names(allowed):
        def parse(text):
            values = text.split(",")
            wrong = [value for value in values if value not in allowed]
            if wrong:
                raise argparse.ArgumentTypeError(f"expected some of {','.join(allowed)}, found {wrong[0]}")
            return values
        return parse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archs", type=names(LAYERS), default=list(LAYERS), metavar="LIST", help="default: all five")
    parser.add_argument("--methods", type=names(METHODS), default=list(METHODS), metavar="LIST", help="default: both")
    parser.add_argument("--layer", metavar="NAME", help="default: the last feature map")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="default: %(default)s")
    parser.add_argument("--camrun", default=os.path.join(HERE, "..", "camrun"), metavar="PROGRAM")
    args = parser.parse_args()
    args.camrun = os.path.abspath(args.camrun)
    if args.rounds < 1 or args.threads < 1:
        parser.error("--rounds and --threads: expected at least 1")
    print("| method | network, layer | camrun, ms | pytorch-grad-cam, ms | ratio |\n|---|---|--:|--:|--:|")
    for arch in args.archs:
        with tempfile.TemporaryDirectory() as folder:
            compare(args, arch, folder)


if __name__ == "__main__":
    main()
