# The chain with training: what it takes at most. The peak is the same for ten
# steps as for forty.

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
  default     = 10
  description = "how many steps to train"
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

data "text" "healing" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 40
}

prune "wanda" "wanda24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

retrain "lora" "wanda24_lora" {
  model   = prune.wanda24
  data    = data.healing
  rank    = 16
  steps   = var.steps
  warmup  = 10
  init    = "formula"
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 5e-4
  }
}

quantize "gptq" "wanda24_lora_gptq4" {
  model       = retrain.wanda24_lora
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

compensate "eora" "compensated" {
  model     = quantize.wanda24_lora_gptq4
  reference = model.base
  data      = data.calib
  rank      = 64
  targets   = var.targets
}

evaluate "perplexity" "compensated" {
  model = compensate.compensated
  data  = data.test
}
