# A sweep over eight ranks of the compensation of one chain.

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
  default     = 4
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

sweep "grid" "rank" {
  rank = [8, 16, 24, 32, 48, 64, 96, 128]
}

prune "sparsegpt" "sparsegpt24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

quantize "gptq" "sparsegpt24_gptq4" {
  model       = prune.sparsegpt24
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

compensate "eora" "compensated" {
  model     = quantize.sparsegpt24_gptq4
  reference = model.base
  data      = data.calib
  rank      = sweep.rank.rank
  targets   = var.targets
}

evaluate "perplexity" "compensated" {
  model = compensate.compensated
  data  = data.test
}
