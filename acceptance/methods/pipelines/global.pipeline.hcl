# Magnitude pruning with one threshold for all layers, beside thresholds of a row and
# of a layer. The histograms of the two global blocks with the same scale are shared.

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

prune "magnitude" "row" {
  model    = model.base
  sparsity = 0.5
  scope    = "row"
  targets  = var.targets
}

evaluate "perplexity" "row" {
  model = prune.row
  data  = data.test
}

prune "magnitude" "layer" {
  model    = model.base
  sparsity = 0.5
  scope    = "layer"
  targets  = var.targets
}

evaluate "perplexity" "layer" {
  model = prune.layer
  data  = data.test
}

prune "magnitude" "global" {
  model    = model.base
  sparsity = 0.5
  scope    = "global"
  targets  = var.targets
}

evaluate "perplexity" "global" {
  model = prune.global
  data  = data.test
}

prune "magnitude" "spread" {
  model     = model.base
  sparsity  = 0.5
  scope     = "global"
  normalise = "layer_std"
  targets   = var.targets
}

evaluate "perplexity" "spread" {
  model = prune.spread
  data  = data.test
}

prune "magnitude" "third" {
  model    = model.base
  sparsity = 0.3
  scope    = "global"
  targets  = var.targets
}

evaluate "perplexity" "third" {
  model = prune.third
  data  = data.test
}

prune "magnitude" "third_row" {
  model    = model.base
  sparsity = 0.3
  scope    = "row"
  targets  = var.targets
}

evaluate "perplexity" "third_row" {
  model = prune.third_row
  data  = data.test
}

prune "wanda" "wanda" {
  model     = model.base
  data      = data.calib
  sparsity  = 0.5
  propagate = "input"
  targets   = var.targets
}

evaluate "perplexity" "wanda" {
  model = prune.wanda
  data  = data.test
}

prune "wanda" "wanda_global" {
  model     = model.base
  data      = data.calib
  sparsity  = 0.5
  propagate = "input"
  scope     = "global"
  targets   = var.targets
}

evaluate "perplexity" "wanda_global" {
  model = prune.wanda_global
  data  = data.test
}

prune "wanda" "followed" {
  model      = model.base
  data       = data.calib
  propagate  = "input"
  allocation = prune.spread.allocation
  targets    = var.targets
}

evaluate "perplexity" "followed" {
  model = prune.followed
  data  = data.test
}
