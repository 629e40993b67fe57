# Magnitude pruning and rounding with one number for all layers beside one for
# each half of a block, and the same shares with another pruner.

allocate "rd" "s50" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

allocate "rd" "b4" {
  model      = model.base
  data       = data.calib
  bits       = 4.25
  group_size = 64
  targets    = var.targets
}

prune "magnitude" "uniform" {
  model    = model.base
  sparsity = 0.5
  targets  = var.targets
}

prune "magnitude" "shared" {
  model      = model.base
  allocation = allocate.s50
  targets    = var.targets
}

prune "wanda" "uniform_wanda" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

prune "wanda" "shared_wanda" {
  model      = model.base
  data       = data.calib
  allocation = allocate.s50
  targets    = var.targets
}

quantize "rtn" "uniform_bits" {
  model      = model.base
  bits       = 4
  group_size = 64
  targets    = var.targets
}

quantize "rtn" "shared_bits" {
  model      = model.base
  allocation = allocate.b4
  group_size = 64
  targets    = var.targets
}

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "uniform" {
  model = prune.uniform
  data  = data.test
}

evaluate "perplexity" "shared" {
  model = prune.shared
  data  = data.test
}

evaluate "perplexity" "uniform_wanda" {
  model = prune.uniform_wanda
  data  = data.test
}

evaluate "perplexity" "shared_wanda" {
  model = prune.shared_wanda
  data  = data.test
}

evaluate "perplexity" "uniform_bits" {
  model = quantize.uniform_bits
  data  = data.test
}

evaluate "perplexity" "shared_bits" {
  model = quantize.shared_bits
  data  = data.test
}
