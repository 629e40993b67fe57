"""What other programs read in exported files, for oracle_test.go.

    python oracle.py packed FOLDER OUT            codes, by numpy and by compressed-tensors
    python oracle.py blocks FILE.gguf OUT         weights, by the gguf package
    python oracle.py transformers FOLDER IDS OUT [ADAPTER]   logits, in float32
    python oracle.py llama FILE.gguf IDS OUT [ADAPTER.gguf]  logits, by llama.cpp
    python oracle.py tokenizer FOLDER TEXT        ids, by AutoTokenizer

IDS are numbers with commas between; OUT is a safetensors file of float32.

    pip install numpy safetensors gguf torch transformers peft compressed-tensors accelerate
    pip install llama-cpp-py-sync==0.11548 xllamacpp==2026.10.11549

llama-cpp-py-sync brings declarations of llama.cpp's C interface and a library;
where that library wants a newer libc, xllamacpp has the next build of the same
interface in its extension module.
"""

import json
import os
import sys

import numpy as np

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "warning"


def save(path, tensors):
    from safetensors.numpy import save_file

    save_file({k: np.ascontiguousarray(v, dtype=np.float32) for k, v in tensors.items()}, path)


def unpack(words, n, bits):
    """Codes of each row, from the definition: bit i of a stream is bit i % 32 of word i // 32."""
    w = words.astype(np.int64) & 0xFFFFFFFF
    i = np.arange(n * bits)
    stream = (w[:, i // 32] >> (i % 32)) & 1
    return (stream.reshape(len(w), n, bits) << np.arange(bits)).sum(-1)


def packed(folder, out):
    import torch
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.quantization import QuantizationConfig
    from safetensors.torch import load_file

    t = load_file(os.path.join(folder, "model.safetensors"))
    config = json.load(open(os.path.join(folder, "config.json")))["quantization_config"]
    QuantizationConfig.model_validate(config)  # refuses keys it does not know
    groups = config["config_groups"].values()
    compressor = BaseCompressor.get_value_from_registry("pack-quantized")
    result = {}
    for name in [k[: -len(".weight_packed")] for k in t if k.endswith(".weight_packed")]:
        scheme = next(g for g in groups if name in g["targets"] or g["targets"] == ["Linear"])["weights"]
        bits = scheme["num_bits"]
        rows, cols = t[name + ".weight_shape"].tolist()
        scale = t[name + ".weight_scale"].float().numpy()
        codes = unpack(t[name + ".weight_packed"].numpy(), cols, bits)
        zeros = np.full(scale.shape, 1 << (bits - 1))
        if not scheme["symmetric"]:
            zeros = unpack(t[name + ".weight_zero_point"].numpy().T, rows, bits).T
        each = cols // scale.shape[1]
        wide = lambda x: np.repeat(x, each, axis=1)
        result["numpy." + name] = wide(scale) * (codes - wide(zeros)).astype(np.float32)

        quantization = QuantizationConfig.model_validate(config)
        args = next(g for g in quantization.config_groups.values() if name in g.targets or g.targets == ["Linear"])
        state = {k[len(name) + 1 :]: v for k, v in t.items() if k.startswith(name + ".weight")}
        state["weight_scale"] = state["weight_scale"].float()
        result["library." + name] = compressor.decompress(state, args)["weight"].float().numpy()
    save(out, result)


def blocks(path, out):
    import gguf

    reader = gguf.GGUFReader(path)
    save(out, {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(d) for d in t.shape[::-1]]) for t in reader.tensors})


def transformers(folder, ids, out, adapter=None):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    if adapter:
        import warnings

        from peft import PeftModel

        warnings.filterwarnings("error", message=".*(missing|unexpected).*keys.*")
        model = PeftModel.from_pretrained(model, adapter)
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0]
    save(out, {"logits": logits.float().numpy()})


def llama(path, ids, out, adapter=None):
    from llama_cpp_py_sync._cffi_bindings import get_ffi, get_lib

    ffi = get_ffi()
    try:
        lib = get_lib()
    except RuntimeError:
        import xllamacpp.xllamacpp

        lib = ffi.dlopen(xllamacpp.xllamacpp.__file__)
    lib.llama_backend_init()
    model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
    if model == ffi.NULL:
        sys.exit("llama.cpp does not load " + path)
    p = lib.llama_context_default_params()
    p.n_ctx, p.n_batch, p.n_ubatch, p.n_threads, p.n_threads_batch = 512, 512, 512, 1, 1
    p.type_k = p.type_v = 0  # F32, so that the cache does not round
    p.flash_attn_type = 0
    context = lib.llama_init_from_model(model, p)
    if context == ffi.NULL:
        sys.exit("llama.cpp makes no context")
    if adapter:
        lora = lib.llama_adapter_lora_init(model, adapter.encode())
        if lora == ffi.NULL:
            sys.exit("llama.cpp does not load " + adapter)
        loras, scales = ffi.new("struct llama_adapter_lora *[]", [lora]), ffi.new("float[]", [1.0])
        if lib.llama_set_adapters_lora(context, loras, 1, scales) != 0:
            sys.exit("llama.cpp does not take the adapter")
    batch = lib.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, id in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = id, i, 1, 0, 1
    if lib.llama_decode(context, batch) != 0:
        sys.exit("llama.cpp does not decode")
    vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
    flat = ffi.buffer(lib.llama_get_logits(context), 4 * vocab * len(ids))
    save(out, {"logits": np.frombuffer(flat, dtype=np.float32).reshape(len(ids), vocab)})


def tokenizer(folder, text):
    from transformers import AutoTokenizer

    t = AutoTokenizer.from_pretrained(folder)
    print(json.dumps({"ids": t(text)["input_ids"], "bos": t.bos_token_id, "eos": t.eos_token_id}))


def numbers(s):
    return [int(x) for x in s.split(",")]


if __name__ == "__main__":
    command, rest = sys.argv[1], sys.argv[2:]
    if command in ("transformers", "llama"):
        rest[1] = numbers(rest[1])
    {"packed": packed, "blocks": blocks, "transformers": transformers, "llama": llama, "tokenizer": tokenizer}[command](*rest)
