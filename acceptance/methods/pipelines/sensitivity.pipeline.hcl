# What rounding weights or activations alone does, for the whole model and layer by
# layer.

data "text" "few" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = min(var.windows, 4)
}

evaluate "sensitivity" "whole" {
  model       = model.base
  data        = data.test
  calibration = data.calib
  targets     = var.targets
  settings = [
    { weight_bits = 4 },
    { weight_bits = 4, symmetric = false },
    { weight_bits = 4, group_size = 64 },
    { weight_bits = 4, group_size = 64, symmetric = false },
    { weight_bits = 8 },
    { activation_bits = 8, activation = "tensor" },
    { activation_bits = 8 },
    { activation_bits = 8, activation_symmetric = false },
    { activation_bits = 4 },
    { weight_bits = 4, group_size = 64, activation_bits = 8 },
  ]
}

evaluate "sensitivity" "layers" {
  model       = model.base
  data        = data.few
  granularity = "layer"
  targets     = var.targets
  settings    = [{ weight_bits = 3, group_size = 64 }, { activation_bits = 4 }]
}
