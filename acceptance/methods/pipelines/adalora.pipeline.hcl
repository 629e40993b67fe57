# AdaLoRA beside LoRA of as many directions at the end, on half the weights.

locals {
  steps = var.steps > 0 ? var.steps : 200
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
  steps   = local.steps
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
  steps       = local.steps
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
