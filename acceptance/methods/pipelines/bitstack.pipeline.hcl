# BitStack beside rounding to a grid, with and without scaling.

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

variable "steps" {
  type        = number
  default     = 0
  description = "not used: nothing is trained"
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

sweep "grid" "blocks" {
  blocks = [1, 2, 3, 4]
}

quantize "rtn" "grid" {
  model      = model.base
  bits       = 3
  group_size = 64
  symmetric  = false
  targets    = var.targets
}

quantize "bitstack" "rank4" {
  model      = model.base
  data       = data.calib
  iterations = 4
  rank       = 4
  blocks     = sweep.blocks.blocks
  targets    = var.targets
}

quantize "bitstack" "rank16" {
  model      = model.base
  data       = data.calib
  iterations = 3
  rank       = 16
  blocks     = 3
  targets    = var.targets
}

quantize "bitstack" "bare" {
  model      = model.base
  scaling    = false
  iterations = 3
  rank       = 16
  blocks     = 3
  targets    = var.targets
}

evaluate "perplexity" "grid" {
  model = quantize.grid
  data  = data.test
}

evaluate "perplexity" "rank4" {
  model = quantize.rank4
  data  = data.test
}

evaluate "perplexity" "rank16" {
  model = quantize.rank16
  data  = data.test
}

evaluate "perplexity" "bare" {
  model = quantize.bare
  data  = data.test
}
