# Compacter's products beside LoRA of many more numbers, on half the weights.

locals {
  steps = var.steps > 0 ? var.steps : 80
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
  steps   = local.steps
  targets = var.targets

  optimizer "adamw" {
    learning_rate = 1e-3
  }
}

retrain "compacter" "few" {
  model   = prune.half
  data    = data.train
  steps   = local.steps
  targets = ["*.o_proj", "*.down_proj"]

  optimizer "adamw" {
    learning_rate = sweep.compacter.rate
  }
}

retrain "compacter" "beside" {
  model     = prune.half
  data      = data.train
  steps     = local.steps
  placement = "both"
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

evaluate "perplexity" "beside" {
  model = retrain.beside
  data  = data.test
}
