# AdaLoRA beside LoRA of as many directions at the end, on half the weights.

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
  default     = 200
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
  samples         = 200
}

sweep "grid" "adalora" {
  rate = [5e-3, 1e-2]
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
    learning_rate = 1e-3
  }
}

retrain "adalora" "adalora" {
  model       = prune.half
  data        = data.train
  init_rank   = 12
  target_rank = 8
  interval    = 2
  steps       = var.steps
  targets     = var.targets

  optimizer "adamw" {
    learning_rate = sweep.adalora.rate
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

evaluate "perplexity" "adalora" {
  model = retrain.adalora
  data  = data.test
}
