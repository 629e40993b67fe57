"""One compression of a model folder by llm-compressor, from a cold start."""
import sys

method, model, text, out, threads = sys.argv[1:]

import torch

torch.set_num_threads(int(threads))

from datasets import Dataset
from llmcompressor import oneshot
from transformers import AutoTokenizer

SAMPLES, LENGTH = 16, 512
ids = AutoTokenizer.from_pretrained(model)(open(text).read(SAMPLES * LENGTH * 12)).input_ids
windows = [ids[i * LENGTH:(i + 1) * LENGTH] for i in range(SAMPLES)]
assert len(windows[-1]) == LENGTH, "the text is too short"
data = Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * LENGTH] * SAMPLES})

if method == "gptq":
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from llmcompressor.modifiers.quantization import GPTQModifier
    recipe = GPTQModifier(ignore=["lm_head"], config_groups={"w4": QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(
        num_bits=4, type="int", symmetric=True, strategy="group", group_size=64))})
else:
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier
    kind = {"sparsegpt": SparseGPTModifier, "wanda": WandaPruningModifier}[method]
    recipe = kind(sparsity=0.5, mask_structure="2:4", targets=["Linear"], ignore=["lm_head"])

oneshot(model=model, dataset=data, recipe=recipe, max_seq_length=LENGTH, num_calibration_samples=SAMPLES,
        shuffle_calibration_samples=False, pipeline="sequential", output_dir=out)
