# LayerNorm turned into RMSNorm and CRMSNorm on small decoders built like GPT-2 and
# OPT, trained here on bytes: what they compute before and after, and what pruning
# and quantising make of each form.

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
  default     = 400
  description = "how many steps to train"
}

data "text" "train" {
  source          = "${var.reference}/text/calib.txt"
  sequence_length = 256
  samples         = 256
}

data "text" "calib" {
  source          = "${var.reference}/text/calib.txt"
  sequence_length = 256
  samples         = 16
}

data "text" "test" {
  source          = "${var.reference}/text/test.txt"
  sequence_length = 256
  samples         = var.windows
}

sweep "grid" "like" {
  architecture = ["gpt2", "opt"]
}

train "language_model" "base" {
  data              = data.train
  architecture      = sweep.like.architecture
  hidden_size       = 128
  intermediate_size = 512
  layers            = 4
  heads             = 4
  steps             = var.steps
  batch_size        = 4
  schedule          = "cosine"
}

transform "rmsnorm" "rms" {
  model  = train.base
  verify = data.test
}

transform "rmsnorm" "affine" {
  model       = train.base
  fold_affine = false
  verify      = data.test
}

transform "crmsnorm" "crms" {
  model  = train.base
  verify = data.test
}

prune "wanda" "base" {
  model    = train.base
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

prune "wanda" "rms" {
  model    = transform.rms
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

prune "wanda" "affine" {
  model    = transform.affine
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

prune "wanda" "crms" {
  model    = transform.crms
  data     = data.calib
  sparsity = 0.5
  targets  = var.targets
}

quantize "gptq" "base" {
  model      = train.base
  data       = data.calib
  bits       = 3
  group_size = -1
  targets    = var.targets
}

quantize "gptq" "rms" {
  model      = transform.rms
  data       = data.calib
  bits       = 3
  group_size = -1
  targets    = var.targets
}

quantize "gptq" "affine" {
  model      = transform.affine
  data       = data.calib
  bits       = 3
  group_size = -1
  targets    = var.targets
}

quantize "gptq" "crms" {
  model      = transform.crms
  data       = data.calib
  bits       = 3
  group_size = -1
  targets    = var.targets
}

evaluate "perplexity" "base" {
  model = train.base
  data  = data.test
}

evaluate "perplexity" "rms" {
  model = transform.rms
  data  = data.test
}

evaluate "perplexity" "affine" {
  model = transform.affine
  data  = data.test
}

evaluate "perplexity" "crms" {
  model = transform.crms
  data  = data.test
}

evaluate "perplexity" "base_pruned" {
  model = prune.base
  data  = data.test
}

evaluate "perplexity" "rms_pruned" {
  model = prune.rms
  data  = data.test
}

evaluate "perplexity" "affine_pruned" {
  model = prune.affine
  data  = data.test
}

evaluate "perplexity" "crms_pruned" {
  model = prune.crms
  data  = data.test
}

evaluate "perplexity" "base_coded" {
  model = quantize.base
  data  = data.test
}

evaluate "perplexity" "rms_coded" {
  model = quantize.rms
  data  = data.test
}

evaluate "perplexity" "affine_coded" {
  model = quantize.affine
  data  = data.test
}

evaluate "perplexity" "crms_coded" {
  model = quantize.crms
  data  = data.test
}
