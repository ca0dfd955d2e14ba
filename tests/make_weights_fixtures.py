#!/usr/bin/env python3
"""Writes tests/data/weights/, small PyTorch files in every form the C reader takes or refuses.

    /usr/bin/python3 tests/make_weights_fixtures.py

Element k of every tensor is 0.25 k + a number of the tensor's own (see TENSORS), which float16 and bfloat16 hold
exactly, so that tests/test_weights.c can compute what it should read. Made with PyTorch 1.13. The older format names
storages by their addresses, so its files differ from run to run.
"""
import argparse
import io
import os
import pickle
import struct
import zipfile

import torch
from torch import nn

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "weights")

# name: (shape, value of element 0)
TENSORS = {
    "0.weight": ((2, 3, 2, 2), -3.0),
    "0.bias": ((2,), 10.0),
    "1.weight": ((2,), 1.0),
    "1.bias": ((2,), 2.0),
    "1.running_mean": ((2,), -5.0),
    "1.running_var": ((2,), 7.0),
}


def values(name, dtype=torch.float32):
    shape, first = TENSORS[name]
    count = torch.Size(shape).numel()
    return (first + 0.25 * torch.arange(count, dtype=torch.float64)).reshape(shape).to(dtype)


def make_model():
    model = nn.Sequential(nn.Conv2d(3, 2, 2), nn.BatchNorm2d(2))
    model.load_state_dict({name: values(name) for name in TENSORS}, strict=False)
    return model.eval()


def state_dict(dtype=torch.float32):
    return {name: values(name, dtype) for name in TENSORS}


def save(value, name, **options):
    torch.save(value, os.path.join(FOLDER, name), **options)


def save_legacy(value, name, **options):
    save(value, name, _use_new_zipfile_serialization=False, **options)


# ---- as torch.save writes ----

def save_state_dicts():
    model = make_model()
    real = model.state_dict()  # an OrderedDict with _metadata, and num_batches_tracked
    save(real, "zip.pth")
    save(real, "zip_protocol4.pth", pickle_protocol=4)
    save_legacy(real, "legacy.pth")
    save_legacy(real, "legacy_protocol4.pth", pickle_protocol=4)
    save(state_dict(torch.float16), "float16.pth")
    save(state_dict(torch.bfloat16), "bfloat16.pth")
    save(state_dict(torch.float64), "float64.pth")
    save_legacy(state_dict(torch.float16), "float16_legacy.pth")
    save(nn.DataParallel(model).state_dict(), "parallel.pth")
    save(dict(model.named_parameters()), "parameters.pth")  # of class Parameter, not Tensor

    tensor = values("0.bias")
    tensor.note = "a tensor with an attribute is pickled in another way"
    save({"0.bias": tensor}, "attribute.pth")


def save_checkpoints():
    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.zeros(1, 3, 4, 4)).sum().backward()
    optimizer.step()
    model = make_model()
    rest = {"epoch": 3, "optimizer": optimizer.state_dict(), "best": torch.tensor(0.5),
            "losses": [0.5, 2**40, None, {1}], "args": argparse.Namespace(lr=0.1)}
    save({**rest, "arch": "resnet18", "state_dict": model.state_dict()}, "checkpoint.pth")
    save_legacy({**rest, "arch": "resnet18", "model_state_dict": model.state_dict()}, "checkpoint_legacy.pth")
    save({"model": state_dict(), **rest}, "checkpoint_model.pth")
    save({"epoch": 3, "net": {"weights": state_dict()}}, "checkpoint_unknown.pth")


def save_strided():
    storage = torch.arange(60, dtype=torch.float32)
    weight = values("0.weight")
    tensors = {
        "channels_last": weight.contiguous(memory_format=torch.channels_last),
        "transposed": weight.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
        "expanded": torch.tensor([1.5]).expand(4),
        "every_second": storage[1:13:2],     # these three share one storage
        "block": storage.view(6, 10)[2:4, 3:7],
        "tail": storage[50:],
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(4.5),
    }
    save(tensors, "strided.pth")
    save_legacy(tensors, "strided_legacy.pth")


def save_refused():
    model = make_model()
    save(model[1], "module.pth")
    save_legacy(model[1], "module_legacy.pth")
    save({"epoch": 1, "model": model[1]}, "module_nested.pth")
    torch.jit.script(model[1]).save(os.path.join(FOLDER, "script.pt"))
    save(values("0.bias"), "tensor.pth")
    save([values("0.bias")], "list.pth")
    save({"0.weight": torch.quantize_per_tensor(values("0.weight"), 0.1, 0, torch.qint8), "0.bias": values("0.bias")},
         "quantized.pth")
    save({"many": torch.zeros((1,) * 9)}, "nine_dimensions.pth")
    with open(os.path.join(FOLDER, "plain.pickle"), "wb") as file:
        pickle.dump({"0.bias": [10.0, 10.25]}, file, protocol=2)


# ---- the same archive, packed in other ways ----

def repack(name, compression=zipfile.ZIP_STORED, extra=()):
    """Packs the entries of zip.pth anew, as some other zip program would."""
    with zipfile.ZipFile(os.path.join(FOLDER, "zip.pth")) as source, \
            zipfile.ZipFile(os.path.join(FOLDER, name), "w", compression) as target:
        entries = [(info.filename, source.read(info)) for info in source.infolist()]
        for entry, data in [*entries, *extra]:
            target.writestr(zipfile.ZipInfo(entry), data, compression)
        target.comment = b"with a comment"


def save_repacked():
    repack("repacked.pth")
    repack("deflated.pth", zipfile.ZIP_DEFLATED)
    repack("big_endian.pth", extra=[("zip/byteorder", b"big")])
    repack("two_pickles.pth", extra=[("other/data.pkl", b"N.")])
    limits = zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = 100, 0  # every larger number into ZIP64 fields
    repack("zip64.pth")
    zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = limits
    with open(os.path.join(FOLDER, "zip64.pth"), "r+b") as file:  # and none left in the end record
        end = file.read().rindex(b"PK\5\6")
        file.seek(end + 8)
        file.write(b"\xff" * 12)


# ---- as PyTorch 0.1 under Python 2 wrote ----

class Python2Pickle:
    """Opcodes written by hand: byte strings for text, an OrderedDict with its contents as an argument, storages that
    are views of others, and the three spellings of a tensor that were in use."""

    def __init__(self):
        self.storages = {}

    @staticmethod
    def text(s):
        return b"U" + bytes([len(s)]) + s.encode()

    @staticmethod
    def integer(i):
        return b"J" + struct.pack("<i", i)

    def ints(self, values):
        return b"(" + b"".join(map(self.integer, values)) + b"t"

    def storage(self, key, tensor, view):
        """tensor: what the whole storage holds; view: (first element, count) of the part in use, or None."""
        self.storages[key] = tensor
        last = b"N"
        if view is not None:
            last = b"(" + self.text(key + "v") + self.integer(view[0]) + self.integer(view[1]) + b"t"
        return (b"(" + self.text("storage") + b"ctorch\nFloatStorage\n" + self.text(key) + self.text("cpu") +
                self.integer(tensor.numel()) + last + b"tQ")

    def fields(self, key, tensor, view=None, offset=0, shape=None):
        shape = tuple(tensor.shape if shape is None else shape)
        strides = torch.empty(shape).stride()
        return (b"(" + self.storage(key, tensor, view) + self.integer(offset) + self.ints(shape) + self.ints(strides) +
                b"t")

    def rebuilt(self, *args, **options):
        return b"ctorch._utils\n_rebuild_tensor\n" + self.fields(*args, **options) + b"R"

    def with_state(self, *args, **options):
        return b"ctorch\nFloatTensor\n)R" + self.fields(*args, **options) + b"b"

    @staticmethod
    def parameter(tensor):
        return b"ctorch.nn.parameter\nParameter\n" + tensor + b"\x85R"

    @staticmethod
    def new_parameter(tensor):
        return b"ctorch.nn.parameter\nParameter\n" + tensor + b"\x85\x81"

    def ordered_dict(self, items):
        pairs = b"".join(b"](" + self.text(name) + value + b"e" for name, value in items)
        return b"ccollections\nOrderedDict\n](" + pairs + b"e\x85R"

    def save(self, pickled, name):
        head = io.BytesIO()
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 8}}
        for value in (0x1950a86a20f9469cfc6c, 1001, system):
            pickle.dump(value, head, protocol=2)
        keys = sorted(self.storages)
        with open(os.path.join(FOLDER, name), "wb") as file:
            file.write(head.getvalue() + b"\x80\x02" + pickled + b".")
            file.write(b"\x80\x02](" + b"".join(map(self.text, keys)) + b"e.")
            for key in keys:
                data = self.storages[key].numpy().tobytes()
                file.write(struct.pack("<q", len(data) // 4) + data)


def save_python2():
    p = Python2Pickle()
    both = torch.cat([torch.zeros(3), values("1.weight"), values("1.bias")])  # one storage, two views of it
    pickled = p.ordered_dict([
        ("0.weight", p.parameter(p.rebuilt("k0", values("0.weight")))),
        ("0.bias", p.new_parameter(p.with_state("k1", values("0.bias")))),
        ("1.weight", p.rebuilt("k2", both, view=(3, 2), shape=(2,))),
        ("1.bias", p.rebuilt("k2", both, offset=5, shape=(2,))),
        ("1.running_mean", p.with_state("k3", values("1.running_mean"))),
        ("1.running_var", p.rebuilt("k4", values("1.running_var"))),
    ])
    p.save(pickled, "python2.pth")


def check_readable():
    """What the C reader is to take must be what PyTorch takes."""
    expected = state_dict()
    for name in ("zip.pth", "legacy.pth", "repacked.pth", "python2.pth", "zip_protocol4.pth"):
        loaded = torch.load(os.path.join(FOLDER, name))
        for key in expected:
            assert torch.equal(loaded[key], expected[key]), (name, key)


def main():
    os.makedirs(FOLDER, exist_ok=True)
    torch.manual_seed(0)
    save_state_dicts()
    save_checkpoints()
    save_strided()
    save_refused()
    save_repacked()
    save_python2()
    check_readable()


if __name__ == "__main__":
    main()
