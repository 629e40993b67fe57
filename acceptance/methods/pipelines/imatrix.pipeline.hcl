# Grids fitted by importance beside rounding to nearest on grids of the same form:
# that of GGUF's Q4_0, and 3 bits with integer zero points.

quantize "rtn" "q4_rounded" {
  model      = model.base
  bits       = 4
  group_size = 32
  symmetric  = true
  targets    = var.targets
}

quantize "imatrix" "q4_weighted" {
  model      = model.base
  data       = data.calib
  bits       = 4
  group_size = 32
  symmetric  = true
  targets    = var.targets
}

quantize "rtn" "three_rounded" {
  model      = model.base
  bits       = 3
  group_size = 64
  symmetric  = false
  targets    = var.targets
}

quantize "imatrix" "three_weighted" {
  model      = model.base
  data       = data.calib
  bits       = 3
  group_size = 64
  symmetric  = false
  targets    = var.targets
}

evaluate "perplexity" "q4_rounded" {
  model = quantize.q4_rounded
  data  = data.test
}

evaluate "perplexity" "q4_weighted" {
  model = quantize.q4_weighted
  data  = data.test
}

evaluate "perplexity" "three_rounded" {
  model = quantize.three_rounded
  data  = data.test
}

evaluate "perplexity" "three_weighted" {
  model = quantize.three_weighted
  data  = data.test
}
