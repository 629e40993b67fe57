# Compacter's products beside LoRA of many more numbers, on half the weights.

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
  default     = 80
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

sweep "grid" "compacter" {
  rate = [1e-2, 3e-2]
}

prune "wanda" "half" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
}

retrain "lora" "lora4" {
  model   = prune.half
  data    = data.train
  rank    = 4
  steps   = var.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 1e-3
  }
}

retrain "compacter" "few" {
  model   = prune.half
  data    = data.train
  steps   = var.steps
  targets = ["*.o_proj", "*.down_proj"]

  optimizer "adamw" {
    learning_rate = sweep.compacter.rate
  }
}

evaluate "perplexity" "half" {
  model = prune.half
  data  = data.test
}

evaluate "perplexity" "lora4" {
  model = retrain.lora4
  data  = data.test
}

evaluate "perplexity" "few" {
  model = retrain.few
  data  = data.test
}
