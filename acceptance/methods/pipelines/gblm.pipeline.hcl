# GBLM beside Wanda and magnitude, at one half of every row. All points of GBLM share
# one pass of gradients a norm, and all but "progressive" the statistics.

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

prune "magnitude" "magnitude" {
  model    = model.base
  sparsity = 0.5
  scope    = "row"
  targets  = var.targets
}

evaluate "perplexity" "magnitude" {
  model = prune.magnitude
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

prune "wanda" "wanda_progressive" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

evaluate "perplexity" "wanda_progressive" {
  model = prune.wanda_progressive
  data  = data.test
}

prune "gblm" "l2" {
  model     = model.base
  data      = data.calib
  sparsity  = 0.5
  propagate = "input"
  targets   = var.targets
}

evaluate "perplexity" "l2" {
  model = prune.l2
  data  = data.test
}

prune "gblm" "l1" {
  model         = model.base
  data          = data.calib
  sparsity      = 0.5
  propagate     = "input"
  gradient_norm = "l1"
  targets       = var.targets
}

evaluate "perplexity" "l1" {
  model = prune.l1
  data  = data.test
}

prune "gblm" "strong" {
  model          = model.base
  data           = data.calib
  sparsity       = 0.5
  propagate      = "input"
  gradient_scale = 1600
  targets        = var.targets
}

evaluate "perplexity" "strong" {
  model = prune.strong
  data  = data.test
}

prune "gblm" "even" {
  model     = model.base
  data      = data.calib
  sparsity  = 0.5
  propagate = "input"
  combine   = "normalised"
  targets   = var.targets
}

evaluate "perplexity" "even" {
  model = prune.even
  data  = data.test
}

prune "gblm" "mostly" {
  model     = model.base
  data      = data.calib
  sparsity  = 0.5
  propagate = "input"
  combine   = "normalised"
  gamma     = 16
  targets   = var.targets
}

evaluate "perplexity" "mostly" {
  model = prune.mostly
  data  = data.test
}

prune "gblm" "zero" {
  model          = model.base
  data           = data.calib
  sparsity       = 0.5
  propagate      = "input"
  gradient_scale = 0
  targets        = var.targets
}

evaluate "perplexity" "zero" {
  model = prune.zero
  data  = data.test
}

prune "gblm" "progressive" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

evaluate "perplexity" "progressive" {
  model = prune.progressive
  data  = data.test
}

prune "gblm" "pairs" {
  model     = model.base
  data      = data.calib
  sparsity  = "2:4"
  propagate = "input"
  targets   = var.targets
}

evaluate "perplexity" "pairs" {
  model = prune.pairs
  data  = data.test
}

prune "wanda" "wanda_pairs" {
  model     = model.base
  data      = data.calib
  sparsity  = "2:4"
  propagate = "input"
  targets   = var.targets
}

evaluate "perplexity" "wanda_pairs" {
  model = prune.wanda_pairs
  data  = data.test
}
