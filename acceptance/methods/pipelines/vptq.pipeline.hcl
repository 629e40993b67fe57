# VPTQ beside its codebooks alone and beside GPTQ. The statistics are the dense
# model's, so that all layers of all methods are measured on the same inputs.

quantize "vptq" "vptq" {
  model     = model.base
  data      = data.calib
  vector    = 4
  centroids = 256
  propagate = "input"
  targets   = var.targets
}

quantize "vptq" "nearest" {
  model     = model.base
  data      = data.calib
  vector    = 4
  centroids = 256
  compensate = false
  propagate = "input"
  targets   = var.targets
}

quantize "vptq" "residual" {
  model     = model.base
  data      = data.calib
  vector    = 4
  centroids = 256
  residual_centroids = 256
  propagate = "input"
  targets   = var.targets
}

quantize "gptq" "published" {
  model      = model.base
  data       = data.calib
  bits       = 2
  group_size = 64
  symmetric  = false
  refine     = 0
  propagate  = "input"
  targets    = var.targets
}

quantize "gptq" "refined" {
  model      = model.base
  data       = data.calib
  bits       = 2
  group_size = 64
  symmetric  = false
  refine     = 2
  propagate  = "input"
  targets    = var.targets
}

evaluate "perplexity" "vptq" {
  model = quantize.vptq
  data  = data.test
}

evaluate "perplexity" "nearest" {
  model = quantize.nearest
  data  = data.test
}

evaluate "perplexity" "residual" {
  model = quantize.residual
  data  = data.test
}

evaluate "perplexity" "published" {
  model = quantize.published
  data  = data.test
}

evaluate "perplexity" "refined" {
  model = quantize.refined
  data  = data.test
}
