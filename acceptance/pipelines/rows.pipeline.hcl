# The reference rows: SmolLM2-135M under the protocol of the reference material,
# each method with the settings that the independent programs had.

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

data "text" "held_out" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.base
  sequence_length = 512
  samples         = 2 * var.windows
  offset          = 20
}

sweep "grid" "rank" {
  rank = [32, 64]
}

sweep "grid" "wide" {
  rank = [32, 64, 128]
}

prune "magnitude" "m24" {
  model    = model.base
  sparsity = "2:4"
  targets  = var.targets
}

prune "wanda" "w24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

prune "sparsegpt" "s24" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  targets  = var.targets
}

quantize "rtn" "rtn4" {
  model       = model.base
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

quantize "gptq" "g4" {
  model       = model.base
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

quantize "gptq" "g3" {
  model       = model.base
  data        = data.calib
  bits        = 3
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

quantize "gptq" "s24g4" {
  model       = prune.s24
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
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
  model       = retrain.wl
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

compensate "eora" "g4e" {
  model     = quantize.g4
  reference = model.base
  data      = data.calib
  rank      = sweep.rank.rank
  targets   = var.targets
}

compensate "eora" "s24g4e" {
  model     = quantize.s24g4
  reference = model.base
  data      = data.calib
  rank      = sweep.rank.rank
  targets   = var.targets
}

compensate "eora" "wlg4e" {
  model     = quantize.wlg4
  reference = model.base
  data      = data.calib
  rank      = sweep.rank.rank
  targets   = var.targets
}

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "m24" {
  model = prune.m24
  data  = data.test
}

evaluate "perplexity" "w24" {
  model = prune.w24
  data  = data.test
}

evaluate "perplexity" "s24" {
  model = prune.s24
  data  = data.test
}

evaluate "perplexity" "rtn4" {
  model = quantize.rtn4
  data  = data.test
}

evaluate "perplexity" "g4" {
  model = quantize.g4
  data  = data.test
}

evaluate "perplexity" "g3" {
  model = quantize.g3
  data  = data.test
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

evaluate "perplexity" "g4e" {
  model = compensate.g4e
  data  = data.test
}

evaluate "perplexity" "s24g4e" {
  model = compensate.s24g4e
  data  = data.test
}

evaluate "perplexity" "wlg4e" {
  model = compensate.wlg4e
  data  = data.test
}

quantize "rtn" "rtn3" {
  model       = model.base
  bits        = 3
  group_size  = 64
  scale_dtype = "f32"
  targets     = var.targets
}

prune "wanda" "w50" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

prune "sparsegpt" "s50" {
  model    = model.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

compensate "eora" "g3e" {
  model     = quantize.g3
  reference = model.base
  data      = data.calib
  rank      = sweep.wide.rank
  targets   = var.targets
}

compensate "eora" "s24e" {
  model     = prune.s24
  reference = model.base
  data      = data.calib
  rank      = sweep.wide.rank
  targets   = var.targets
}

compensate "lorc" "g4l" {
  model     = quantize.g4
  reference = model.base
  rank      = 32
  targets   = var.targets
}

retrain "perp" "p24" {
  model   = prune.m24
  data    = data.train
  train   = ["norms"]
  steps   = var.steps
  targets = var.targets
}

evaluate "perplexity" "rtn3" {
  model = quantize.rtn3
  data  = data.test
}

evaluate "perplexity" "w50" {
  model = prune.w50
  data  = data.test
}

evaluate "perplexity" "s50" {
  model = prune.s50
  data  = data.test
}

evaluate "perplexity" "g3e" {
  model = compensate.g3e
  data  = data.test
}

evaluate "perplexity" "s24e" {
  model = compensate.s24e
  data  = data.test
}

evaluate "perplexity" "g4l" {
  model = compensate.g4l
  data  = data.test
}

evaluate "perplexity" "p24" {
  model = retrain.p24
  data  = data.test
}

evaluate "perplexity" "dense_held" {
  model = model.base
  data  = data.held_out
}

evaluate "perplexity" "g4_held" {
  model = quantize.g4
  data  = data.held_out
}

evaluate "perplexity" "s24_held" {
  model = prune.s24
  data  = data.held_out
}

compensate "lorc" "s24g4l" {
  model     = quantize.s24g4
  reference = model.base
  rank      = 64
  targets   = var.targets
}

evaluate "perplexity" "s24g4l" {
  model = compensate.s24g4l
  data  = data.test
}

# One rank of each on the windows that nothing was tuned on; they share all work
# with the sweep.
compensate "eora" "s24g4e64" {
  model     = quantize.s24g4
  reference = model.base
  data      = data.calib
  rank      = 64
  targets   = var.targets
}

compensate "eora" "wlg4e64" {
  model     = quantize.wlg4
  reference = model.base
  data      = data.calib
  rank      = 64
  targets   = var.targets
}

evaluate "perplexity" "s24g4e_held" {
  model = compensate.s24g4e64
  data  = data.held_out
}

evaluate "perplexity" "wlg4e_held" {
  model = compensate.wlg4e64
  data  = data.held_out
}

# The methods as published, without the passes after the sweep.
prune "sparsegpt" "s24p" {
  model    = model.base
  data     = data.calib
  sparsity = "2:4"
  refine   = 0
  targets  = var.targets
}

quantize "gptq" "g4p" {
  model       = model.base
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  refine      = 0
  targets     = var.targets
}

quantize "gptq" "g3p" {
  model       = model.base
  data        = data.calib
  bits        = 3
  group_size  = 64
  scale_dtype = "f32"
  refine      = 0
  targets     = var.targets
}

quantize "gptq" "s24g4p" {
  model       = prune.s24p
  data        = data.calib
  group_size  = 64
  scale_dtype = "f32"
  refine      = 0
  targets     = var.targets
}

evaluate "perplexity" "s24p" {
  model = prune.s24p
  data  = data.test
}

evaluate "perplexity" "g4p" {
  model = quantize.g4p
  data  = data.test
}

evaluate "perplexity" "g3p" {
  model = quantize.g3p
  data  = data.test
}

evaluate "perplexity" "s24g4p" {
  model = quantize.s24g4p
  data  = data.test
}

evaluate "perplexity" "g3_held" {
  model = quantize.g3
  data  = data.held_out
}

evaluate "perplexity" "s24p_held" {
  model = prune.s24p
  data  = data.held_out
}

evaluate "perplexity" "g4p_held" {
  model = quantize.g4p
  data  = data.held_out
}

evaluate "perplexity" "g3p_held" {
  model = quantize.g3p
  data  = data.held_out
}

# The same with and without these passes on the same inputs, the dense model's.
quantize "gptq" "g3i" {
  model       = model.base
  data        = data.calib
  bits        = 3
  group_size  = 64
  scale_dtype = "f32"
  propagate   = "input"
  targets     = var.targets
}

quantize "gptq" "g3ip" {
  model       = model.base
  data        = data.calib
  bits        = 3
  group_size  = 64
  scale_dtype = "f32"
  propagate   = "input"
  refine      = 0
  targets     = var.targets
}

prune "sparsegpt" "s24i" {
  model     = model.base
  data      = data.calib
  sparsity  = "2:4"
  propagate = "input"
  targets   = var.targets
}

prune "sparsegpt" "s24ip" {
  model     = model.base
  data      = data.calib
  sparsity  = "2:4"
  propagate = "input"
  refine    = 0
  targets   = var.targets
}

evaluate "perplexity" "g3i" {
  model = quantize.g3i
  data  = data.test
}

evaluate "perplexity" "g3ip" {
  model = quantize.g3ip
  data  = data.test
}

evaluate "perplexity" "s24i" {
  model = prune.s24i
  data  = data.test
}

evaluate "perplexity" "s24ip" {
  model = prune.s24ip
  data  = data.test
}
