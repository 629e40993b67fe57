# AWQ beside rounding to nearest on the same grid: 3 bits, groups of 64, integer
# zero points.

quantize "rtn" "rtn" {
  model      = model.base
  bits       = 3
  group_size = 64
  symmetric  = false
  targets    = var.targets
}

quantize "awq" "scale" {
  model      = model.base
  data       = data.calib
  bits       = 3
  group_size = 64
  clip       = false
  targets    = var.targets
}

quantize "awq" "published" {
  model      = model.base
  data       = data.calib
  bits       = 3
  group_size = 64
  gqa_scale  = false
  targets    = var.targets
}

quantize "awq" "clip" {
  model      = model.base
  data       = data.calib
  bits       = 3
  group_size = 64
  scale      = false
  targets    = var.targets
}

quantize "awq" "awq" {
  model      = model.base
  data       = data.calib
  bits       = 3
  group_size = 64
  targets    = var.targets
}

evaluate "perplexity" "base" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "rtn" {
  model = quantize.rtn
  data  = data.test
}

evaluate "perplexity" "scale" {
  model = quantize.scale
  data  = data.test
}

evaluate "perplexity" "published" {
  model = quantize.published
  data  = data.test
}

evaluate "perplexity" "clip" {
  model = quantize.clip
  data  = data.test
}

evaluate "perplexity" "awq" {
  model = quantize.awq
  data  = data.test
}
