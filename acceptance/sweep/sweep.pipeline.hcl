# A sweep of 18 points whose statistics all come from the reference model.

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

sweep "grid" "s" {
  sparsity = ["2:4", "0.5", "0.6"]
  bits     = [3, 4]
  rank     = [16, 32, 64]
}

prune "sparsegpt" "sparse" {
  model     = model.base
  reference = model.base
  data      = data.calib
  sparsity  = sweep.s.sparsity
  propagate = "reference"
  targets   = var.targets
}

quantize "gptq" "low" {
  model      = prune.sparse
  reference  = model.base
  data       = data.calib
  bits       = sweep.s.bits
  group_size = 64
  propagate  = "reference"
  targets    = var.targets
}

compensate "eora" "final" {
  model     = quantize.low
  reference = model.base
  data      = data.calib
  rank      = sweep.s.rank
  propagate = "reference"
  targets   = var.targets
}

evaluate "perplexity" "ppl" {
  model = compensate.final
  data  = data.test
}
