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
  rate = [3e-3, 5e-3, 7e-3, 1e-2]
}

sweep "grid" "lora" {
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
  steps   = local.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = sweep.lora.rate
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

# Fewer directions to choose from.
retrain "adalora" "near" {
  model       = prune.half
  data        = data.train
  init_rank   = 10
  target_rank = 8
  interval    = 2
  steps       = local.steps
  targets     = var.targets

  optimizer "adamw" {
    learning_rate = 6e-3
  }
}

# The smallest budget of the paper's: from three directions a layer to one.
retrain "adalora" "few" {
  model       = prune.half
  data        = data.train
  init_rank   = 3
  target_rank = 1
  interval    = 2
  steps       = min(local.steps, 80)
  targets     = var.targets

  optimizer "adamw" {
    learning_rate = 5e-3
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

evaluate "perplexity" "near" {
  model = retrain.near
  data  = data.test
}

evaluate "perplexity" "few" {
  model = retrain.few
  data  = data.test
}
