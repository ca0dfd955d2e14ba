#!/usr/bin/env python3
"""Compares camrun with torchvision, live: random weights go through the converter into both, the same pictures and
tensors into both, and logits, raw maps and finished maps must agree.

    make && /usr/bin/python3 tests/compare_torchvision.py photo.jpg other.png

For each network: pictures (torchvision's own evaluation transform on the one side, camrun's on the other) and batches
of random tensors that are wider than high; Grad-CAM and LayerCAM at several layers, and at all of them averaged, CAM
where there is one; for the class of the largest logit and for another. The weights are those of the converter's
--random, moved a little so that no value of the inputs lies at a kink (margins.py). Needs torch, torchvision and
Pillow."""
import argparse
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

TOLERANCE = 1e-4  # of the largest value in the array compared
OTHER_CLASS = 283
TENSORS = [(3, 3, 192, 256), (2, 3, 131, 170)]


def convert(arch, seed, path):
    subprocess.run([sys.executable, os.path.join(SCRIPTS, "convert_torchvision.py"), "--arch", arch, "--random",
                    str(seed), "-o", path], check=True)


def adjust(arch, x, path, adjusted_path):
    """The weights in a file as torchvision's model, adjusted for this input; writes them to another file."""
    tensors, metadata = safetensors_file.read(path)
    model = networks.model_of_state_dict(arch, {name: torch.tensor(array) for name, array in tensors.items()}, path)
    relu_gap, pool_gap, _ = margins.widen(model, [x])
    networks.save(adjusted_path, model, arch, metadata)
    return model, f"nothing nearer to a kink than {relu_gap:.1e} (ReLU), {pool_gap:.1e} (max-pool)"


def make_inputs(pictures, shapes, folder):
    """(title, camrun's arguments, torchvision's x) of each."""
    inputs = []
    for path in pictures:
        x = ImageClassification(crop_size=224)(Image.open(path).convert("RGB"))[None]
        inputs.append((os.path.basename(path), [os.path.abspath(path)], x))
    for i, shape in enumerate(shapes):
        x = np.random.default_rng(i).normal(size=shape).astype(np.float32)
        path = os.path.join(folder, f"tensor{i}.npy")
        np.save(path, x)
        inputs.append(("x".join(map(str, shape)), ["--tensor", path], torch.from_numpy(x)))
    return inputs


def run_camrun(program, arguments, layers, folder):
    """The arrays the program saves: logits (N,classes), map (N,2,H,W) and, of one layer, raw (N,2,h,w)."""
    paths = {name: os.path.join(folder, name + ".npy") for name in ["logits", "map"] + ["raw"] * (len(layers) == 1)}
    command = [program, *arguments, "--layer", ",".join(layers), "--class", f"top1,{OTHER_CLASS}"]
    for name, path in paths.items():
        command += [f"--save-{name}", path]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    arrays = {name: torch.from_numpy(np.load(path)) for name, path in paths.items()}
    n = arrays["logits"].numel() // arrays["logits"].shape[-1]
    return {name: a.reshape(n, -1) if name == "logits" else a.reshape(n, 2, *a.shape[-2:])
            for name, a in arrays.items()}


def expected_arrays(arch, model, x, layers):
    """The same from torchvision's model, under (method, layers): each layer alone, and all of them."""
    run = torch_cam.Run(model, x, layers)
    argmax = run.logits.argmax(1)
    both = [argmax, torch.full_like(argmax, OTHER_CLASS)]
    maps = [run.raw_maps(classes) for classes in both]
    if networks.last_linear(arch) == "fc":
        for found, classes in zip(maps, both):
            found["cam", layers[-1]] = run.cam(layers[-1], classes)

    expected = {}
    for method, layer in maps[0]:
        raw = torch.stack([found[method, layer] for found in maps], 1)
        finished = torch.stack([torch_cam.finish([found[method, layer]], run.size) for found in maps], 1)
        expected[method, (layer,)] = {"logits": run.logits.detach(), "raw": raw, "map": finished}
    for method in ("gradcam", "layercam"):
        finished = [torch_cam.finish([found[method, layer] for layer in layers], run.size) for found in maps]
        expected[method, tuple(layers)] = {"logits": run.logits.detach(), "map": torch.stack(finished, 1)}
    return expected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="*", help="default: cam/demo/shapes.png")
    parser.add_argument("--arch", action="append", choices=list(torch_cam.LAYERS), help="default: all five")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: %(default)s)")
    parser.add_argument("--camrun", default=os.path.join(ROOT, "camrun"), help="the program (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one network, its first and last layer, one tensor")
    args = parser.parse_args()
    pictures = args.pictures or [os.path.join(ROOT, "cam", "demo", "shapes.png")]
    program = os.path.abspath(args.camrun)

    passed = failed = 0
    with tempfile.TemporaryDirectory() as folder:
        inputs = make_inputs(pictures, TENSORS[:1] if args.quick else TENSORS, folder)
        for arch in args.arch or (["resnet18"] if args.quick else torch_cam.LAYERS):
            random_weights, weights = (os.path.join(folder, name) for name in ("random.bin", "adjusted.bin"))
            convert(arch, args.seed, random_weights)
            layers = torch_cam.LAYERS[arch]
            for title, arguments, x in inputs:
                model, margin = adjust(arch, x, random_weights, weights)
                print(f"{arch:9} {title:12} {margin}", flush=True)
                expected = expected_arrays(arch, model, x, [layers[0], layers[-1]] if args.quick else layers)
                for (method, names), arrays in expected.items():
                    found = run_camrun(program, ["--weights", weights, "--method", method, *arguments], names, folder)
                    errors = {name: torch_cam.relative_error(found[name], array) for name, array in arrays.items()}
                    bad = [name for name, error in errors.items() if not error <= TOLERANCE]
                    passed += len(errors) - len(bad)
                    failed += len(bad)
                    which = names[0] if len(names) == 1 else f"{len(names)} layers"
                    cells = "  ".join(f"{name} {error:.1e}" for name, error in errors.items())
                    verdict = "FAILED: " + ", ".join(bad) if bad else ""
                    print(f"{arch:9} {title:12} {method:9} {which:15} {cells}  {verdict}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
