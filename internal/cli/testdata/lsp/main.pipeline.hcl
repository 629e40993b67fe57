# A pipeline – with wide characters 🙂 before what is asked about.
variable "sparsity" {
  type        = number
  default     = 0.5
  description = "share to remove"
}

# top

sweep "grid" "width" {
  bits = [4, 8]
}

locals {
  limit = 1.5 * 100
}

model "base" {
  source = "model"
}

data "text" "calib" {
  source          = "calib.txt"
  tokenizer       = model.base
  sequence_length = 32
  samples         = 4
}

data "text" "test" {
  source          = "test.txt"
  tokenizer       = model.base
  sequence_length = 32
  samples         = 4
  offset          = 100
}

prune "wanda" "sparse" {
  model     = model.base
  data      = data.calib
  sparsity  = var.sparsity
  propagate = "input"
}

prune "magnitude" "twin" {
  model    = prune.sparse
  sparsity = 0.6
}

quantize "rtn" "small" {
  model      = prune.twin
  bits       = sweep.width.bits
  group_size = 32
}

module "recipe" {
  source = "./recipe"
  base   = model.base
}

evaluate "perplexity" "ppl" {
  model = quantize.small
  data  = data.test
}

evaluate "perplexity" "module" {
  model = module.recipe.small
  data  = data.test
}

gate "quality" {
  condition = evaluate.ppl.perplexity < local.limit
}

output "table" {
  value    = [for r in all.evaluate.ppl : r.perplexity]
  requires = [gate.quality]
}

output "module" {
  value = evaluate.module.perplexity
}
