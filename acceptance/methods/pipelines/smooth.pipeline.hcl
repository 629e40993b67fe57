# Activations in 8 bits before and after their ranges were moved into the
# weights; what the model computes in floating point stays.

sweep "grid" "move" {
  alpha = [0.5, 0.85]
}

transform "smooth" "two" {
  model = model.base
  data  = data.calib
  alpha = sweep.move.alpha
}

transform "smooth" "all" {
  model = model.base
  data  = data.calib
  alpha = sweep.move.alpha
  sites = ["qkv", "o", "gate_up", "down"]
}

quantize "rtn" "plain" {
  model      = model.base
  bits       = 8
  group_size = -1
  targets    = var.targets
}

quantize "rtn" "two" {
  model      = transform.two
  bits       = 8
  group_size = -1
  targets    = var.targets
}

quantize "rtn" "all" {
  model      = transform.all
  bits       = 8
  group_size = -1
  targets    = var.targets
}

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "exact" {
  model = transform.all
  data  = data.test
}

evaluate "perplexity" "plain_tensor" {
  model           = quantize.plain
  data            = data.test
  activation_bits = 8
  activation      = "tensor"
  calibration     = data.calib
}

evaluate "perplexity" "plain_token" {
  model           = quantize.plain
  data            = data.test
  activation_bits = 8
}

evaluate "perplexity" "two_tensor" {
  model           = quantize.two
  data            = data.test
  activation_bits = 8
  activation      = "tensor"
  calibration     = data.calib
}

evaluate "perplexity" "two_token" {
  model           = quantize.two
  data            = data.test
  activation_bits = 8
}

evaluate "perplexity" "all_tensor" {
  model           = quantize.all
  data            = data.test
  activation_bits = 8
  activation      = "tensor"
  calibration     = data.calib
}

evaluate "perplexity" "all_token" {
  model           = quantize.all
  data            = data.test
  activation_bits = 8
}
