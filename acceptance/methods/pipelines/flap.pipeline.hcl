# Structured pruning: heads and neurons of all layers compete and leave their
# mean in biases, beside the same without biases and beside structured Wanda.

locals {
  steps = var.steps > 0 ? var.steps : 100
}

variable "out" {
  type        = string
  default     = "out"
  description = "the folder to write files to"
}

# The windows after those that the statistics are of, so that no step sees one again.
data "text" "train" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 512
  offset          = 16
  samples         = 100
}

sweep "grid" "cut" {
  ratio = [0.2, 0.4]
}

prune "flap" "flap" {
  model = model.base
  data  = data.calib
  ratio = sweep.cut.ratio
}

prune "flap" "bare" {
  model      = model.base
  data       = data.calib
  ratio      = sweep.cut.ratio
  compensate = false
}

prune "flap" "wanda" {
  model      = model.base
  data       = data.calib
  ratio      = sweep.cut.ratio
  metric     = "wifn"
  structure  = "ul-um"
  compensate = false
}

prune "flap" "flap20" {
  model = model.base
  data  = data.calib
  ratio = 0.2
}

prune "flap" "wanda20" {
  model      = model.base
  data       = data.calib
  ratio      = 0.2
  metric     = "wifn"
  structure  = "ul-um"
  compensate = false
}

retrain "lora" "flap_lora" {
  model   = prune.flap20
  data    = data.train
  rank    = 16
  steps   = local.steps
  warmup  = 10
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 5e-4
  }
}

retrain "lora" "wanda_lora" {
  model   = prune.wanda20
  data    = data.train
  rank    = 16
  steps   = local.steps
  warmup  = 10
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 5e-4
  }
}

evaluate "perplexity" "base" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "flap" {
  model = prune.flap
  data  = data.test
}

evaluate "perplexity" "bare" {
  model = prune.bare
  data  = data.test
}

evaluate "perplexity" "wanda" {
  model = prune.wanda
  data  = data.test
}

evaluate "perplexity" "flap_lora" {
  model = retrain.flap_lora
  data  = data.test
}

evaluate "perplexity" "wanda_lora" {
  model = retrain.wanda_lora
  data  = data.test
}

export "gguf" "base" {
  model = model.base
  path  = "${var.out}/base.gguf"
}

export "gguf" "flap" {
  model = prune.flap20
  path  = "${var.out}/flap.gguf"
}
