# Activations in 8 bits before and after their ranges were moved into the
# weights; what the model computes in floating point stays.

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
