# What rounding weights or activations alone does, for the whole model and layer by
# layer.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
}

variable "targets" {
  type        = list(string)
  default     = ["*"]
  description = "globs of the linears to compress"
}

variable "windows" {
  type        = number
  default     = 20
  description = "how many windows of the test text to measure on"
}

variable "steps" {
  type        = number
  default     = 0
  description = "not used: nothing is trained"
}

model "base" {
  source = "${var.reference}/smollm2-135m-instruct-q4_1.gguf"
}

data "text" "calib" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 16
}

data "text" "test" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = var.windows
}

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
