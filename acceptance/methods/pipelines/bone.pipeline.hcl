# Bone beside LoRA of about as many numbers, on half the weights.

locals {
  steps = var.steps > 0 ? var.steps : 100
}

data "text" "train" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 256
  samples         = 100
}

sweep "grid" "lora" {
  rate = [1e-3, 2e-3, 4e-3]
}

sweep "grid" "affine" {
  rate = [5e-4, 1e-3, 2e-3]
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

retrain "bone" "affine" {
  model   = prune.half
  data    = data.train
  block   = 16
  steps   = local.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = sweep.affine.rate
  }
}

retrain "bone" "additive" {
  model   = prune.half
  data    = data.train
  block   = 16
  variant = "additive"
  steps   = local.steps
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
