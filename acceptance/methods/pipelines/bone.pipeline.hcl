# Bone beside LoRA of about as many numbers, on half the weights.

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
  default     = 100
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

data "text" "train" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 256
  samples         = 100
}

sweep "grid" "rate" {
  rate = [1e-3, 2e-3]
}

prune "wanda" "half" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
}

retrain "lora" "lora" {
  model   = prune.half
  data    = data.train
  rank    = 8
  steps   = var.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = sweep.rate.rate
  }
}

retrain "bone" "affine" {
  model   = prune.half
  data    = data.train
  block   = 16
  steps   = var.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = sweep.rate.rate
  }
}

retrain "bone" "additive" {
  model   = prune.half
  data    = data.train
  block   = 16
  variant = "additive"
  steps   = var.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 1e-3
  }
}

evaluate "perplexity" "half" {
  model = prune.half
  data  = data.test
}

evaluate "perplexity" "lora" {
  model = retrain.lora
  data  = data.test
}

evaluate "perplexity" "affine" {
  model = retrain.affine
  data  = data.test
}

evaluate "perplexity" "additive" {
  model = retrain.additive
  data  = data.test
}
