"""Small random networks as files, for tests of the programs. Needs numpy."""
import json
import struct

import numpy as np


def resnet18(classes, channels=3, width=8, seed=1, blocks=(2, 2, 2, 2)):
    """A state dict under torchvision's names, with values that keep activations of order 1. blocks (3, 4, 6, 3): resnet34."""
    rng = np.random.default_rng(seed)
    state = {}

    def conv(name, out, inputs, k):
        state[name + ".weight"] = rng.normal(0, (2 / (inputs * k * k)) ** 0.5, (out, inputs, k, k))

    def batchnorm(name, n):
        state[name + ".weight"] = rng.uniform(0.5, 1, n)
        state[name + ".bias"] = rng.normal(0, 0.2, n)
        state[name + ".running_mean"] = rng.normal(0, 0.3, n)
        state[name + ".running_var"] = rng.uniform(0.5, 2, n)

    conv("conv1", width, channels, 7)
    batchnorm("bn1", width)
    inputs = width
    for stage in range(4):
        out = width << stage
        for block in range(blocks[stage]):
            name = f"layer{stage + 1}.{block}."
            conv(name + "conv1", out, inputs, 3)
            batchnorm(name + "bn1", out)
            conv(name + "conv2", out, out, 3)
            batchnorm(name + "bn2", out)
            if inputs != out:
                conv(name + "downsample.0", out, inputs, 1)
                batchnorm(name + "downsample.1", out)
            inputs = out
    state["fc.weight"] = rng.normal(0, 0.3, (classes, inputs))
    state["fc.bias"] = rng.normal(0, 0.1, classes)
    return {name: array.astype(np.float32) for name, array in state.items()}


def write_header(file, shapes, metadata):
    """The head of a safetensors file of float32 tensors; returns how many bytes of data must follow."""
    table, end = {"__metadata__": metadata}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * int(np.prod(shape))
        table[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 64)
    file.write(struct.pack("<Q", len(text)) + text)
    return end


def write_weights(path, state, **metadata):
    with open(path, "wb") as file:
        write_header(file, {name: array.shape for name, array in state.items()}, metadata)
        for array in state.values():
            file.write(array.tobytes())
    return str(path)


ALEXNET = [(0, 64, 11), (3, 192, 5), (6, 384, 3), (8, 256, 3), (10, 256, 3)]  # index, channels, kernel
VGG19 = [(i, c, 3) for i, c in zip((0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34), [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8)]


def write_with_classifier(path, arch, classes, seed=1):
    """AlexNet or VGG19 of full size with random convolutions, in a file that takes little room on the disk: of the wide linear
    layers only the first 16 units are not zero."""
    rng = np.random.default_rng(seed)
    convolutions, linear, pixels = (ALEXNET, (1, 4, 6), 36) if arch == "alexnet" else (VGG19, (0, 3, 6), 49)
    shapes, leading, inputs = {}, {}, 3
    for index, out, k in convolutions:
        name = f"features.{index}"
        shapes[name + ".weight"], shapes[name + ".bias"] = (out, inputs, k, k), (out,)
        leading[name + ".weight"] = rng.normal(0, (2 / (inputs * k * k)) ** 0.5, (out, inputs, k, k))
        leading[name + ".bias"] = rng.normal(0, 0.05, out)
        inputs = out
    inputs *= pixels
    for index, out in zip(linear, (4096, 4096, classes)):
        name = f"classifier.{index}"
        shapes[name + ".weight"], shapes[name + ".bias"] = (out, inputs), (out,)
        leading[name + ".weight"] = rng.normal(0, inputs ** -0.5 if inputs > 4096 else 0.3, (min(out, 16), inputs))
        leading[name + ".bias"] = rng.normal(0, 0.1, min(out, 16))
        inputs = out
    with open(path, "wb") as file:
        begin = write_header(file, shapes, {"arch": arch}) and file.tell()
        for name, shape in shapes.items():
            file.write(leading[name].astype(np.float32).tobytes())
            begin += 4 * int(np.prod(shape))
            file.seek(begin)
        file.truncate(begin)
    return str(path)
