"""Writes blocks.safetensors and tiny.gguf with the reference Python packages.

Needs gguf 0.19 (or later), numpy and safetensors. Run it in this folder.

blocks.safetensors holds, for each encoding E:
  E.blocks  bytes of some blocks          E.values  their reference decoding
and for each encoding that is also written:
  E.source  float32 values                E.packed  their reference encoding
"""

import numpy as np
import gguf
from gguf import quants
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from safetensors.numpy import save_file

rng = np.random.default_rng(20240917)
out = {}

# Random bytes make every code, sign and scale occur; only the F16 fields have
# to be made finite.
f16_fields = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.TQ2_0: [64],
}
for t, fields in f16_fields.items():
    elems, size = GGML_QUANT_SIZES[t]
    n = 1024 // elems
    blocks = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for f in fields:
        d = (rng.standard_normal(n) * 0.01).astype(np.float16)
        blocks[:, f : f + 2] = d.view(np.uint8).reshape(n, 2)
    name = t.name.lower()
    out[name + ".blocks"] = blocks
    out[name + ".values"] = quants.dequantize(blocks, t).astype(np.float32).reshape(-1)

source = (rng.standard_normal((40, 32)) * 0.05).astype(np.float32)
source[0] = 0
source[1] = 0.25
source[2] = -0.25
source[3, :] = 0
source[3, 7] = 3
source[4] *= 1e-6
source[5] *= 1e5
source[6] = np.abs(source[6])
source[7] = -np.abs(source[7])
source[8] = (np.arange(32) - 16) * 0.5
source[9] = np.float32(0.1)
source[10, 1] = -source[10, 0] * 9  # a peak, and
source[10, 2] = source[10, 0] * 9  # its mirror image after it
source[11] *= np.arange(32) % 2  # every other element is pruned
source[12, 16:] = -source[12, :16]
for t in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.BF16):
    out[t.name.lower() + ".packed"] = quants.quantize(source, t).reshape(-1).view(np.uint8)
out["f16.packed"] = source.astype(np.float16).reshape(-1).view(np.uint8)
out["source"] = source
save_file(out, "blocks.safetensors")

w = gguf.GGUFWriter("tiny.gguf", "llama")
w.add_uint8("t.u8", 200)
w.add_int8("t.i8", -100)
w.add_uint16("t.u16", 60000)
w.add_int16("t.i16", -30000)
w.add_uint32("t.u32", 4000000000)
w.add_int32("t.i32", -2000000000)
w.add_float32("t.f32", 1e-5)
w.add_bool("t.true", True)
w.add_bool("t.false", False)
w.add_string("t.str", 'héllo "world"\n')
w.add_uint64("t.u64", 1 << 63)
w.add_int64("t.i64", -(1 << 62))
w.add_float64("t.f64", 0.1)
w.add_array("t.strings", ["a", "", "ĠB"])
w.add_array("t.ints", [1, -2, 3])
w.add_array("t.floats", [0.5, -1.5])
w.add_array("t.bools", [True, False])
w.add_uint32("llama.attention.head_count", 2)
w.add_uint32("llama.attention.head_count_kv", 1)
w.add_tensor("blk.0.attn_norm.weight", np.array([1, 2, 3], dtype=np.float32))
w.add_tensor("blk.0.attn_q.weight", quants.quantize(source[:4], T.Q8_0), raw_dtype=T.Q8_0)
w.add_tensor("blk.0.attn_k.weight", source[4:6].astype(np.float16))
w.add_tensor("ids", np.arange(5, dtype=np.int32).reshape(5, 1, 1))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
