#!/usr/bin/env python3
"""Turns weights that camtrain wrote, or any other file of camrun's, into torchvision's: a state dict as torch.save writes
it. Needs torch >= 1.13 and torchvision >= 0.14.

    scripts/to_torchvision.py model.bin -o model.pth

and then, in Python, what the script prints: a network of torchvision's that has these weights. `load` is the same for a
program that has scripts/ on its path:

    model, metadata = to_torchvision.load("model.bin")     # in evaluation mode; metadata: dict of str -> str"""
import argparse
import os
import sys

import numpy as np
import torch

import convert_torchvision as networks
import safetensors_file
from convert_torchvision import Mistake


def read_state(path):
    """(state dict of float32, metadata). What a checkpoint knows of its optimiser is left out."""
    try:
        tensors, metadata = safetensors_file.read(path)
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}")
    except Exception:  # damaged files end in errors of every kind
        raise Mistake(f"{path}: expected a weights file of camrun's (safetensors), found something else")
    state = {name: torch.from_numpy(array.astype(np.float32)) for name, array in tensors.items()
             if not name.startswith("optimizer.")}
    return state, metadata


def load(path, arch=None):
    """(model, metadata): torchvision's network with the file's weights. arch where the file does not tell."""
    state, metadata = read_state(path)
    arch = arch or metadata.get("arch")
    if arch not in networks.ARCHS:
        raise Mistake(f"{path}: it is for {arch or 'a network it does not name'}; expected --arch with one of "
                      + ", ".join(networks.ARCHS))
    return networks.model_of_state_dict(arch, state, path), metadata


def how_to_use(path, arch, model):
    """Python that loads the state dict: torchvision's own function where that makes such a network."""
    conv, linear = (model.get_submodule(name) for name in (networks.first_conv(arch), networks.last_linear(arch)))
    if (conv.in_channels, conv.out_channels) == (3, 64):
        create = f"torchvision.models.{arch}(num_classes={linear.out_features})"
    else:
        create = (f"convert_torchvision.create_model({arch!r}, classes={linear.out_features}, "
                  f"in_channels={conv.in_channels}, width={conv.out_channels})  # of scripts/")
    return f"model = {create}\nmodel.load_state_dict(torch.load({path!r}))"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", metavar="F.bin", help="what camtrain -o or its checkpoint wrote")
    parser.add_argument("-o", "--output", required=True, metavar="F.pth")
    parser.add_argument("--arch", choices=networks.ARCHS, metavar="A", help="if the file does not tell")
    args = parser.parse_args()
    temporary = f"{args.output}.{os.getpid()}.tmp"
    try:
        model, metadata = load(args.weights, args.arch)
        torch.save(model.state_dict(), temporary)
        os.replace(temporary, args.output)
    except (Mistake, OSError, RuntimeError) as error:
        if os.path.exists(temporary):
            os.unlink(temporary)
        sys.exit(f"{os.path.basename(sys.argv[0])}: {networks.first_line(error)}")
    print(how_to_use(args.output, args.arch or metadata["arch"], model))
    for key in ("classes", "resize", "crop", "mean", "std"):
        print(f"# {key}: {metadata.get(key, 'not known')}")


if __name__ == "__main__":
    main()
