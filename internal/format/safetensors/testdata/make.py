"""Writes reference.safetensors with the reference implementation.

Needs safetensors 0.8 and numpy. Run it in this folder.
"""

import numpy as np
from safetensors import TensorSpec, serialize_file

# Every supported dtype by the name the Python binding gives it.
dtypes = {
    "bool": 1, "uint8": 1, "int8": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "int16": 2, "uint16": 2, "float16": 2, "bfloat16": 2,
    "int32": 4, "uint32": 4, "float32": 4,
    "float64": 8, "int64": 8, "uint64": 8,
}
alive = []
tensors = {}


def add(name, dtype, shape, data):
    raw = np.frombuffer(data, dtype=np.uint8)
    alive.append(raw)
    tensors[name] = TensorSpec(dtype=dtype, shape=shape, data_ptr=raw.ctypes.data, data_len=raw.nbytes)


for i, (dtype, size) in enumerate(dtypes.items()):
    for name in ("b." + dtype, "a." + dtype):
        add(name, dtype, [3, 1], bytes((i * 16 + k) % 256 for k in range(3 * size)))
add("empty", "float32", [0, 4], b"")
add("scalar", "float32", [], b"\x00\x00\x80\x3f")
add('odd "name" \\ <é&\u2028\t\x01/>', "uint8", [1], b"\x07")
serialize_file(tensors, "reference.safetensors", {"format": "pt"})
