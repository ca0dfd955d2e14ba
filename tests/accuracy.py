#!/usr/bin/env python3
"""How far camrun and PyTorch, both in float32, are from the same network in float64. Prints a Markdown table.

    make && /usr/bin/python3 tests/accuracy.py [picture]

Random weights as in compare_torchvision.py, moved away from kinks for these inputs: the picture turned four ways, with
noise of about a grey level, because in the flat areas of a drawn one the values of a max-pool's window are equal, and
rounding chooses between them. Of the logits and of every raw map, at several layers, the length of the error, over the four,
over that of the truth. A Grad-CAM's error is mostly that of a few channel weights, and goes up and down by chance, PyTorch's
and camrun's alike: so all is done for several draws of noise, and the root of their mean square is given. camrun with
Winograd and without (--direct). Exits with 1 where camrun's is more than three times PyTorch's and more than a rounding of
the result: below ROUNDING, a few units in the last place of a float32, which of two programs is nearer is luck."""
import argparse
import copy
import os
import sys
import tempfile

import numpy as np
import torch

import compare_torchvision as compare
import torch_cam

MOST, ROUNDING = 3, 5e-7
NOISE = 0.02  # of normalised pixels


def distance(found, truth):
    """The error's length over the truth's."""
    return ((found.double() - truth).norm() / truth.norm()).item()


def draw_input(picture, seed, folder):
    """The picture, turned four ways, with noise; also written to folder/x.npy."""
    (_, _, x), = compare.make_inputs([picture], [], folder)
    x = torch.cat([x.rot90(turns, (2, 3)) for turns in range(4)])
    x += torch.from_numpy(np.random.default_rng(seed).normal(scale=NOISE, size=x.shape).astype(np.float32))
    np.save(os.path.join(folder, "x.npy"), x.numpy())
    return x


def errors_of(arch, x, seed, program, folder):
    """Of everything that is compared, by name: the errors of PyTorch, camrun and camrun --direct for the inputs x."""
    random_weights, weights = (os.path.join(folder, name) for name in ("random.bin", "adjusted.bin"))
    compare.convert(arch, seed, random_weights)
    model, _ = compare.adjust(arch, x, random_weights, weights)
    layers = torch_cam.LAYERS[arch]
    truth = compare.expected_arrays(arch, copy.deepcopy(model).double(), x.double(), layers)
    theirs = compare.expected_arrays(arch, model, x, layers)
    errors = {}
    for (method, names), arrays in truth.items():
        if len(names) > 1:
            continue
        command = ["--weights", weights, "--method", method, "--tensor", os.path.join(folder, "x.npy")]
        ours, direct = (compare.run_camrun(program, command + more, names, folder) for more in ([], ["--direct"]))
        for what in ["raw"] if "logits" in errors else ["logits", "raw"]:
            name = what if what == "logits" else f"{method} {names[0]}"
            errors[name] = [distance(found[what], arrays[what]) for found in (theirs[method, names], ours, direct)]
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", default=os.path.join(compare.ROOT, "cam", "demo", "shapes.png"))
    parser.add_argument("--arch", action="append", choices=list(torch_cam.LAYERS), help="default: all five")
    parser.add_argument("--seed", type=int, default=1, help="of the weights (default: %(default)s)")
    parser.add_argument("--draws", type=int, default=3, help="of noise (default: %(default)s)")
    args = parser.parse_args()
    program = os.path.join(compare.ROOT, "camrun")
    bad = 0
    print("| network | what | PyTorch | camrun | ratio | camrun --direct |\n| --- | --- | --: | --: | --: | --: |")
    for arch in args.arch or torch_cam.LAYERS:
        draws = []
        for noise in range(args.draws):
            with tempfile.TemporaryDirectory() as folder:
                draws.append(errors_of(arch, draw_input(args.picture, args.seed + noise, folder), args.seed, program, folder))
        for name in draws[0]:
            errors = np.sqrt(np.mean([np.square(draw[name]) for draw in draws], axis=0)).tolist()
            ratio = errors[1] / errors[0]
            failed = ratio > MOST and errors[1] > ROUNDING
            bad += failed
            print(f"| {arch} | {name} | {errors[0]:.1e} | {errors[1]:.1e} | {ratio:.1f}{' !' if failed else ''} | {errors[2]:.1e} |",
                  flush=True)
    print(f"\n{bad} of these errors are more than {MOST} times PyTorch's and above {ROUNDING:.0e}.")
    return bad > 0


if __name__ == "__main__":
    torch.set_num_threads(2)
    sys.exit(main())
