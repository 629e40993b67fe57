# Prune, heal, quantise, compensate: a language model that is 2:4 sparse, has
# 4-bit weights, and gets part of what that costs back from low-rank side paths.
#
# What to compress and how far is in the *.vars.hcl file beside this one. Any
# other model goes the same way:
#
#   compressc run -var model=PATH_OR_ADDRESS

pipeline {
  required_version = ">= 0.1"
  description      = "2:4 sparse, healed, 4-bit, compensated"
}

variable "model" {
  type        = string
  description = "folder, .safetensors, .gguf or hf:// address of the model"
}

variable "calibration" {
  type        = string
  description = "text that statistics are taken from and adapters are trained on"
}

variable "test" {
  type        = string
  description = "other text, to measure on"
}

variable "sequence_length" {
  type        = number
  description = "tokens of a window"
}

variable "sparsity" {
  type        = string
  default     = "2:4"
  description = "N:M keeps N of M weights; or the fraction to remove"
}

variable "bits" {
  type        = number
  default     = 4
  description = "bits of a weight"
}

variable "group_size" {
  type        = number
  default     = 64
  description = "weights that share a scale; must divide the inputs of every layer"
}

variable "ranks" {
  type        = list(number)
  description = "ranks of the side paths to try"
}

variable "retrain" {
  type        = object({ steps = number, learning_rate = number })
  description = "how long and how fast the pruned model is healed"
}

variable "tolerance" {
  type        = number
  default     = 1.01
  description = "how much worse than the best rank a smaller one may be"
}

model "base" {
  source = var.model
}

data "text" "calib" {
  source          = var.calibration
  tokenizer       = model.base
  sequence_length = var.sequence_length
  samples         = 16
}

data "text" "heal" {
  source          = var.calibration
  tokenizer       = model.base
  sequence_length = var.sequence_length
  samples         = 160
}

data "text" "test" {
  source          = var.test
  tokenizer       = model.base
  sequence_length = var.sequence_length
  samples         = 20
}

# Two ways to the same pattern: the smallest weights of every four go; or those
# whose loss the others can make up for, and the others do.

prune "magnitude" "naive" {
  model    = model.base
  sparsity = var.sparsity
}

prune "sparsegpt" "sparse" {
  model    = model.base
  data     = data.calib
  sparsity = var.sparsity
}

# Everything from here on goes on with the better one.

retrain "lora" "healed" {
  model    = prune.sparse # its pattern is kept: the update is masked as the weights are
  data     = data.heal
  rank     = 16
  steps    = var.retrain.steps
  warmup   = 0.1
  schedule = "linear"

  optimizer "adamw" {
    learning_rate = var.retrain.learning_rate
  }
}

quantize "gptq" "packed" {
  model      = retrain.healed
  data       = data.calib
  bits       = var.bits
  group_size = var.group_size
}

sweep "grid" "side" {
  rank = var.ranks
}

compensate "eora" "final" {
  model     = quantize.packed
  reference = model.base
  data      = data.calib
  rank      = sweep.side.rank # only this block and what follows from it fans out
}

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "magnitude" {
  model = prune.naive
  data  = data.test
}

evaluate "perplexity" "sparsegpt" {
  model = prune.sparse
  data  = data.test
}

evaluate "perplexity" "healed" {
  model = retrain.healed
  data  = data.test
}

evaluate "perplexity" "quantized" {
  model = quantize.packed
  data  = data.test
}

evaluate "perplexity" "final" {
  model = compensate.final
  data  = data.test
}

# In the end the model must be better than when it was pruned and nothing else,
# four bits or not. Of what remains, the smallest that is nearly as good as the
# best is written.

gate "quality" {
  condition     = evaluate.final.perplexity < evaluate.sparsegpt.perplexity
  error_message = "Healing and side paths of rank ${sweep.side.rank} do not make up for ${var.bits} bits."
  require       = "any"
}

select "best" {
  from     = compensate.final
  minimize = compensate.final.size
  where    = evaluate.final.perplexity <= var.tolerance * min(all.evaluate.final[*].perplexity...)
}

export "gguf" "llamacpp" {
  model    = select.best
  adapters = "file"
  path     = "out/model.gguf"
  requires = [gate.quality]
}

export "peft" "adapters" {
  model    = select.best
  path     = "out/adapters"
  requires = [gate.quality]
}

# What each step costs: perplexity above the dense model's.

output "lost" {
  value = {
    for step, perplexity in {
      magnitude = evaluate.magnitude.perplexity
      sparsegpt = evaluate.sparsegpt.perplexity
      healed    = evaluate.healed.perplexity
      quantized = evaluate.quantized.perplexity
    } : step => format("%.1f %%", 100 * (perplexity / evaluate.dense.perplexity - 1))
  }
}

output "lost_at_last" {
  value = format("%.1f %%", 100 * (evaluate.final.perplexity / evaluate.dense.perplexity - 1))
}
