#!/usr/bin/env python3
"""Converts a torchvision classifier to the weights file camrun reads: safetensors, with the class names and the
preprocessing in its metadata. Needs torch >= 1.13 and torchvision >= 0.14."""
import argparse
import collections
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import torch
import torchvision
from torch import nn

import safetensors_file

ARCHS = ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn",
         "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


class Mistake(Exception):
    """Something the user can put right; the text is one line."""


# ---- networks ----

class NarrowResNet(torchvision.models.ResNet):
    """torchvision's ResNet with any number of channels after conv1, where torchvision's has 64."""

    def __init__(self, block, layers, num_classes, width):
        super().__init__(block, layers, num_classes)
        self.inplanes = width
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for stage in range(4):
            layer = self._make_layer(block, width << stage, layers[stage], stride=1 if stage == 0 else 2)
            setattr(self, f"layer{stage + 1}", layer)
        self.fc = nn.Linear((width << 3) * block.expansion, num_classes)


def first_conv(arch):
    return "conv1" if arch.startswith("resnet") else "features.0"


def last_linear(arch):
    return "fc" if arch.startswith("resnet") else "classifier.6"


def create_model(arch, classes=1000, in_channels=3, width=64):
    """torchvision's network in evaluation mode, its weights not yet of any use."""
    model = getattr(torchvision.models, arch)(num_classes=classes)
    if width != 64:
        if not arch.startswith("resnet"):
            raise Mistake(f"{arch} has one width, 64, and not {width}: only ResNets come in others")
        layers = [len(getattr(model, f"layer{i}")) for i in (1, 2, 3, 4)]
        model = NarrowResNet(type(model.layer1[0]), layers, classes, width)
    if in_channels != 3:
        *parents, leaf = first_conv(arch).split(".")
        conv = model.get_submodule(first_conv(arch))
        replacement = nn.Conv2d(in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                                bias=conv.bias is not None)
        setattr(model.get_submodule(".".join(parents)), leaf, replacement)
    return model.eval()


@torch.no_grad()
def randomize(model, seed):
    """Random weights that exercise every parameter yet keep activations of ordinary size however deep the network:
    weights by He's rule, no bias zero, and batch normalisations that differ from the identity in all four tensors.
    Their running statistics are those of noise sent through the network, then disturbed."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                module.bias.normal_(0, 0.1)

    def set_statistics(bn, inputs):
        x, = inputs
        std, mean = torch.std_mean(x, dim=(0, 2, 3))
        bn.running_mean.normal_(0, 0.3).mul_(std).add_(mean)
        bn.running_var.uniform_(0.5, 2).mul_(std ** 2)
        bn.weight.uniform_(0.5, 1.5)
        bn.bias.normal_(0, 0.2)

    hooks = [module.register_forward_pre_hook(set_statistics)
             for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    model(torch.randn(2, next(model.parameters()).shape[1], 128, 128))
    for hook in hooks:
        hook.remove()


# ---- checkpoints ----

class Ignored:
    """What stands for every object in a checkpoint that is no tensor: it takes what it is given and does nothing."""

    def __init__(self, *args, **kwargs):
        pass

    def ignore(self, *args, **kwargs):
        return self

    as_strided = __call__ = __setstate__ = __setitem__ = append = extend = add = ignore


class TensorUnpickler(pickle.Unpickler):
    """Reads a file that torch.save wrote and makes nothing of it but tensors and plain values, whatever the file says.
    (torch.load's weights_only is as safe, but early versions of it refuse files that hold as much as a float.)"""

    STORAGES = {"FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
                "DoubleStorage": torch.float64, "LongStorage": torch.int64}

    def __init__(self, archive):
        self.archive = archive
        index = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
        self.folder = index[:-len("data.pkl")] + "data/"
        super().__init__(archive.open(index))

    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *rest: storage.as_strided(size, stride, offset)
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *rest: data
        return self.STORAGES.get(name, Ignored) if module == "torch" else Ignored

    def persistent_load(self, reference):
        _, dtype, key, _, _ = reference
        if dtype is Ignored:
            return Ignored()
        data = bytearray(self.archive.read(self.folder + key))
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def load_checkpoint(path):
    """The state dict in a .pth file: plain or under "state_dict" or "model", without DataParallel's prefix."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                loaded = TensorUnpickler(archive).load()
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)  # the format before PyTorch 1.6
    except OSError as error:
        raise Mistake(f"{path}: {error.strerror}")
    except Exception:  # damaged files end in errors of every kind
        raise Mistake(f"{path}: expected a state dict that torch.save wrote, found something else")
    if isinstance(loaded, Ignored):
        raise Mistake(f"{path}: expected a state dict, found a pickled object, perhaps a whole model; where it was "
                      "made, write one with torch.save(model.state_dict(), 'weights.pth')")
    for key in ("state_dict", "model"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    if not isinstance(loaded, dict) or not any(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise Mistake(f"{path}: expected a state dict, found no tensors under names")
    return {name[len("module."):] if name.startswith("module.") else name: value
            for name, value in loaded.items() if isinstance(value, torch.Tensor)}


def model_of_state_dict(arch, state, path):
    """The network with the class count, input channels and width of the tensors, and their values."""
    def shape(name, ndim):
        if name not in state:
            raise Mistake(f"{path}: no tensor {name}, which every {arch} has; is --arch right?")
        if state[name].ndim != ndim:
            raise Mistake(f"{path}: {name}: expected {ndim} dimensions for {arch}, found {list(state[name].shape)}")
        return state[name].shape

    width, in_channels = shape(first_conv(arch) + ".weight", 4)[:2]
    classes = shape(last_linear(arch) + ".weight", 2)[0]
    model = create_model(arch, classes, in_channels, width)
    expected = {name: tensor for name, tensor in model.state_dict().items() if not is_counter(name)}
    for name, tensor in expected.items():
        if shape(name, tensor.ndim) != tensor.shape:
            raise Mistake(f"{path}: {name}: expected shape {list(tensor.shape)} for {arch}, "
                          f"found {list(state[name].shape)}")
    surplus = [name for name in state if name not in expected and not is_counter(name)]
    if surplus:
        raise Mistake(f"{path}: {len(surplus)} tensors that {arch} does not have, the first {surplus[0]}; "
                      "is --arch right?")
    model.load_state_dict({name: state[name] for name in expected}, strict=False)
    return model


def is_counter(name):
    return name.endswith(".num_batches_tracked")


def first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0]


# ---- the file ----

def imagenet_metadata(arch, weights=None):
    """Class names and preprocessing of torchvision's weights; those all its ImageNet models began with by default."""
    weights = weights or torchvision.models.get_model_weights(arch).IMAGENET1K_V1
    transform = weights.transforms()
    return {
        "classes": json.dumps(weights.meta["categories"], ensure_ascii=False),
        "mean": json.dumps(transform.mean),
        "std": json.dumps(transform.std),
        "resize": str(transform.resize_size[0]),
        "crop": str(transform.crop_size[0]),
        "interpolation": transform.interpolation.value,
    }


def save(path, model, arch, metadata, dtype="float32"):
    """With float16, vectors stay float32: they weigh little, and a running variance may be too small for a half."""
    tensors = {name: tensor.numpy().astype(dtype if tensor.ndim > 1 else np.float32)
               for name, tensor in model.state_dict().items() if not is_counter(name)}
    safetensors_file.write(path, tensors, {"arch": arch, **metadata})


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="examples:\n"
               "  %(prog)s --arch resnet34 --weights DEFAULT -o r34.bin\n"
               "  %(prog)s --arch resnet34 --checkpoint mine.pth --labels names.txt -o mine.bin\n"
               "  %(prog)s --arch alexnet --random 1 -o random.bin")
    parser.add_argument("--arch", required=True, choices=ARCHS, metavar="A", help="one of " + ", ".join(ARCHS))
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--weights", metavar="NAME", help="torchvision's own weights, downloaded: DEFAULT, "
                                                          "IMAGENET1K_V1, ...")
    source.add_argument("--checkpoint", metavar="F.pth", help="a state dict of this network with any number of classes")
    source.add_argument("--random", metavar="SEED", type=int, help="random weights, for tests")
    parser.add_argument("-o", "--output", required=True, metavar="F.bin")
    parser.add_argument("--labels", metavar="F.txt", help="names of the classes, one a line")
    parser.add_argument("--dtype", choices=["float32", "float16"], default="float32",
                        help="how weight matrices are stored (default: %(default)s)")
    shape = parser.add_argument_group("with --random")
    shape.add_argument("--classes", type=int, metavar="N", help="number of classes (default: 1000)")
    shape.add_argument("--in-channels", type=int, metavar="C", help="channels of the picture (default: 3)")
    shape.add_argument("--width", type=int, metavar="W", help="a ResNet's channels after conv1 (default: 64)")
    args = parser.parse_args()
    sizes = {"classes": args.classes, "in_channels": args.in_channels, "width": args.width}
    args.sizes = {name: value for name, value in sizes.items() if value is not None}
    if args.random is None and args.sizes:
        parser.error("--classes, --in-channels and --width go with --random; a checkpoint has its own")
    if any(value < 1 for value in args.sizes.values()):
        parser.error("--classes, --in-channels and --width expect a number above 0")
    return args


def build(args):
    """(model, metadata) as the command line asks."""
    if args.weights:
        known = torchvision.models.get_model_weights(args.arch)
        if args.weights not in known.__members__:
            raise Mistake(f"--weights {args.weights}: {args.arch} has {', '.join(known.__members__)}")
        weights = known[args.weights]
        try:
            model = getattr(torchvision.models, args.arch)(weights=weights).eval()
        except OSError as error:
            raise Mistake(f"{weights.url}: cannot download it ({first_line(error)}); fetch that file by other means "
                          "and give it as --checkpoint")
        return model, imagenet_metadata(args.arch, weights)
    if args.checkpoint:
        model = model_of_state_dict(args.arch, load_checkpoint(args.checkpoint), args.checkpoint)
    else:
        model = create_model(args.arch, **args.sizes)
        randomize(model, args.random)
    metadata = imagenet_metadata(args.arch)
    if model.get_submodule(last_linear(args.arch)).out_features != 1000:
        del metadata["classes"]
    return model, metadata


def main():
    args = parse_arguments()
    try:
        if not os.path.isdir(os.path.dirname(os.path.abspath(args.output))):
            raise Mistake(f"-o {args.output}: its folder does not exist")
        model, metadata = build(args)
        if args.labels:
            with open(args.labels, encoding="utf-8", errors="replace") as file:
                labels = file.read().splitlines()
            classes = model.get_submodule(last_linear(args.arch)).out_features
            if len(labels) != classes:
                raise Mistake(f"{args.labels}: expected {classes} lines, one for each class, found {len(labels)}")
            metadata["classes"] = json.dumps(labels, ensure_ascii=False)
        save(args.output, model, args.arch, metadata, args.dtype)
    except (Mistake, OSError) as error:
        sys.exit(f"{os.path.basename(sys.argv[0])}: {error}")


if __name__ == "__main__":
    main()
