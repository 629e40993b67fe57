# A little of everything on two blocks, to be run with different numbers of threads.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
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

prune "sparsegpt" "sparsegpt24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = ["model.layers.0.*", "model.layers.1.*"]
}

quantize "gptq" "gptq4" {
  model       = prune.sparsegpt24
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = ["model.layers.0.*", "model.layers.1.*"]
}

retrain "lora" "healed" {
  model = prune.sparsegpt24
  data  = data.calib
  rank  = 8
  steps = 2
}

compensate "eora" "compensated" {
  model     = quantize.gptq4
  reference = model.base
  data      = data.calib
  rank      = 64
  targets   = ["model.layers.0.*", "model.layers.1.*"]
}

evaluate "perplexity" "compensated" {
  model = compensate.compensated
  data  = data.test
}

evaluate "perplexity" "healed" {
  model = retrain.healed
  data  = data.test
}

prune "wanda" "wanda_reference" {
  model     = prune.sparsegpt24
  reference = model.base
  data      = data.calib
  sparsity  = "2:8"
  propagate = "reference"
  targets   = ["model.layers.0.*", "model.layers.1.*"]
}

evaluate "perplexity" "wanda_reference" {
  model = prune.wanda_reference
  data  = data.test
}

prune "wanda" "wanda_input" {
  model     = prune.sparsegpt24
  data      = data.calib
  sparsity  = "2:8"
  propagate = "input"
  targets   = ["model.layers.0.*", "model.layers.1.*"]
}

evaluate "perplexity" "wanda_input" {
  model = prune.wanda_input
  data  = data.test
}

prune "wanda" "wanda_output" {
  model     = prune.sparsegpt24
  data      = data.calib
  sparsity  = "2:8"
  propagate = "output"
  targets   = ["model.layers.0.*", "model.layers.1.*"]
}

evaluate "perplexity" "wanda_output" {
  model = prune.wanda_output
  data  = data.test
}
