"""Small random networks as files, for tests of the programs. Needs numpy."""
import json
import struct

import numpy as np


def resnet18(classes, channels=3, width=8, seed=1):
    """A state dict under torchvision's names, with values that keep activations of order 1."""
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
        for block in range(2):
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
