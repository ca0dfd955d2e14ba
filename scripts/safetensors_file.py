"""Writes and reads the safetensors container, the format of camrun's .bin files, with numpy alone.

A file is: 8 bytes, the header's length as a little-endian integer; the header, JSON padded with spaces; the tensors'
raw little-endian bytes without gaps. The header maps each tensor's name to its dtype, shape and begin and end in the
data, and "__metadata__" to an object of strings.
"""
import json
import math
import os
import struct
import tempfile

import numpy as np

ALIGNMENT = 64
DTYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "I64": "<i8"}


def write(path, tensors, metadata):
    """tensors: dict of name -> numpy array; metadata: dict of str -> str. The file appears whole or not at all."""
    names = {np.dtype(code): name for name, code in DTYPES.items()}
    # The format allows no gaps, so alignment is had by order: tensors by the power of two that divides their size,
    # largest first. All whose size is a multiple of 64 bytes then start at one; no float32 starts off a multiple of 4.
    order = sorted(tensors, key=lambda name: -math.gcd(tensors[name].nbytes, ALIGNMENT))
    header = {"__metadata__": metadata}
    offset = 0
    for name in order:
        array = tensors[name]
        end = offset + array.nbytes
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)

    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(os.path.abspath(path)), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in order:
                file.write(np.ascontiguousarray(tensors[name]).data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's files are the owner's alone
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read(path):
    """Returns (tensors, metadata) of a file that write() wrote."""
    with open(path, "rb") as file:
        data = file.read()
    begin = 8 + struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8:begin])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        first, last = (begin + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:last], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors, metadata
