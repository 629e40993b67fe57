# Three models that differ from the reference model in every linear, as files.

variable "out" {
  type        = string
  default     = "out"
  description = "the folder to export the models to"
}

locals {
  rates = { novel = 1e-3, commands = 5e-4, manual = 2e-3 }
}

retrain "lora" "expert" {
  for_each = local.rates
  model    = model.base
  data     = data.calib
  rank     = 16
  steps    = 3
  targets  = var.targets

  optimizer "adamw" {
    learning_rate = each.value
  }
}

export "safetensors" "expert" {
  for_each = local.rates
  model    = retrain.expert[each.key]
  dtype    = "f32"
  path     = "${var.out}/${each.key}"
}
