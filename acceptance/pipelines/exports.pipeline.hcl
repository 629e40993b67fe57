# Both kept-mask chains in files: scales are float16, which the files hold.

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
  default     = 40
  description = "how many steps to train"
}

variable "out" {
  type        = string
  description = "the folder to write to"
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

data "text" "train" {
  source          = "${var.reference}/text/calib.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 40
}

data "text" "test" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = var.windows
}

prune "sparsegpt" "s24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

quantize "gptq" "s24g4" {
  model      = prune.s24
  data       = data.calib
  group_size = 64
  targets    = var.targets
}

compensate "eora" "s24g4e" {
  model     = quantize.s24g4
  reference = model.base
  data      = data.calib
  rank      = 64
  targets   = var.targets
}

prune "wanda" "w24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

retrain "lora" "wl" {
  model   = prune.w24
  data    = data.train
  rank    = 16
  steps   = var.steps
  warmup  = 10
  init    = "formula"
  targets = var.targets
  optimizer "adamw" {
    learning_rate = 5e-4
  }
}

quantize "gptq" "wlg4" {
  model      = retrain.wl
  data       = data.calib
  group_size = 64
  targets    = var.targets
}

export "gguf" "s24g4_file" {
  model = quantize.s24g4
  path  = "${var.out}/s24g4.gguf"
}

export "safetensors" "s24g4_folder" {
  model = quantize.s24g4
  path  = "${var.out}/s24g4"
}

export "gguf" "s24g4e_file" {
  model    = compensate.s24g4e
  path     = "${var.out}/s24g4e.gguf"
  adapters = "file"
}

export "safetensors" "wl_folder" {
  model = retrain.wl
  path  = "${var.out}/wl"
  dtype = "f32"
}

export "gguf" "wlg4_file" {
  model = quantize.wlg4
  path  = "${var.out}/wlg4.gguf"
}

export "safetensors" "wlg4_folder" {
  model = quantize.wlg4
  path  = "${var.out}/wlg4"
}

evaluate "perplexity" "s24g4" {
  model = quantize.s24g4
  data  = data.test
}

evaluate "perplexity" "wl" {
  model = retrain.wl
  data  = data.test
}

evaluate "perplexity" "wlg4" {
  model = quantize.wlg4
  data  = data.test
}
