# Methods to be compared layer by layer on the same statistics.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
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

prune "sparsegpt" "s" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}

prune "wanda" "w" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
}

quantize "gptq" "sq" {
  model       = prune.s
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
}

compensate "eora" "e" {
  model     = quantize.sq
  reference = model.base
  data      = data.calib
  rank      = 64
}

compensate "lorc" "l" {
  model     = quantize.sq
  reference = model.base
  rank      = 64
}

quantize "rtn" "r" {
  model       = model.base
  group_size  = 64
  scale_dtype = "f32"
}

quantize "gptq" "g" {
  model       = model.base
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
}
