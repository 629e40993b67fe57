# How much a row moves when nothing that matters does: the damping is nudged by
# a part in a thousand or less. The sweeps alone, as published.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
}

variable "targets" {
  type        = list(string)
  default     = ["*"]
  description = "globs of the linears to compress"
}

variable "windows" {
  type        = number
  default     = 20
  description = "how many windows of the test text to measure on"
}

model "base" {
  source = "${var.reference}/smollm2-135m-instruct-q4_1.gguf"
}

data "text" "calib" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 16
}

data "text" "test" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = var.windows
}

sweep "grid" "nudge" {
  damping = [0.01, 0.0100001, 0.01001]
}

quantize "gptq" "gptq3" {
  model       = model.base
  data        = data.calib
  bits        = 3
  damping     = sweep.nudge.damping
  group_size  = 64
  scale_dtype = "f32"
  refine      = 0
  targets     = var.targets
}

prune "sparsegpt" "sparsegpt24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  damping  = sweep.nudge.damping
  refine   = 0
  targets  = var.targets
}

evaluate "perplexity" "gptq3" {
  model = quantize.gptq3
  data  = data.test
}

evaluate "perplexity" "sparsegpt24" {
  model = prune.sparsegpt24
  data  = data.test
}
