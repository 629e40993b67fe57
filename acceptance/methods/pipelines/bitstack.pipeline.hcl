# BitStack beside rounding to a grid, with and without scaling.

variable "out" {
  type        = string
  default     = "out"
  description = "the folder to export the model to"
}

variable "minimum" {
  type        = string
  default     = ""
  description = "the folder of the model rounded to a grid with a minimum for each group, once there is one"
}

model "minimum" {
  source = var.minimum == "" ? "${var.reference}/smollm2-135m-instruct-q4_1.gguf" : var.minimum
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

quantize "rtn" "symmetric" {
  model      = model.base
  bits       = 3
  group_size = 64
  targets    = var.targets
}

evaluate "perplexity" "symmetric" {
  model = quantize.symmetric
  data  = data.test
}

evaluate "perplexity" "minimum" {
  model = model.minimum
  data  = data.test
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

export "safetensors" "base" {
  model = model.base
  dtype = "f32"
  path  = "${var.out}/base"
}
