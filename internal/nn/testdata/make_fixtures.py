"""Writes NAME/config.json and NAME/golden.safetensors: small random decoders
with, for one window of 40 tokens, the logits and the gradient of every
parameter of the mean next-token loss, as torch and transformers compute them in
float64 (stored as float32).

    pip install torch transformers safetensors && python make_fixtures.py
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
COMMON = dict(
    hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, vocab_size=48, max_position_embeddings=128, bos_token_id=1,
    eos_token_id=2, rms_norm_eps=1e-5, attn_implementation="eager",
)
MODELS = {
    "llama": dict(model_type="llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
                  head_dim=6, rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=8.0,
                  low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)),
    "llama_linear": dict(model_type="llama", tie_word_embeddings=True, head_dim=6,
                         rope_parameters=dict(rope_type="linear", rope_theta=500.0, factor=2.0)),
    "mistral": dict(model_type="mistral", head_dim=8, sliding_window=9, tie_word_embeddings=False),
    "qwen2": dict(model_type="qwen2", tie_word_embeddings=True, use_sliding_window=True,
                  sliding_window=7, max_window_layers=1),
    "qwen3": dict(model_type="qwen3", tie_word_embeddings=False, head_dim=10, num_key_value_heads=1),
}


def main():
    for name, extra in MODELS.items():
        torch.manual_seed(7)
        kind = extra.pop("model_type")
        config = AutoConfig.for_model(kind, **{**COMMON, **extra})
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for key, p in model.named_parameters():
                # The library's own start is too near to linear to test much.
                p.normal_(0, 0.3)
                if "norm" in key:
                    p.add_(1)
        weights = {k: p.detach().clone() for k, p in model.named_parameters()}
        model = model.double()
        ids = torch.randint(0, config.vocab_size, (1, 40))
        out = model(ids)
        loss = torch.nn.functional.cross_entropy(out.logits[0, :-1], ids[0, 1:])
        loss.backward()
        tensors = {k: v for k, v in weights.items()}
        for k, p in model.named_parameters():
            tensors["grad." + k] = p.grad.float()
        tensors["input_ids"] = ids[0].int()
        tensors["logits"] = out.logits[0].detach().float()
        tensors["loss"] = loss.detach().float().reshape(1)
        folder = HERE / name
        folder.mkdir(exist_ok=True)
        save_file(tensors, folder / "golden.safetensors", metadata={"format": "pt"})
        d = config.to_dict()
        d["architectures"] = [type(model).__name__]
        for drop in ("attn_implementation", "_attn_implementation"):
            d.pop(drop, None)
        (folder / "config.json").write_text(json.dumps(d, indent=2, sort_keys=True) + "\n")


main()
