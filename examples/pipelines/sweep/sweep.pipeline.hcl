# Every combination of sparsity, bits and rank on the quickstart's model, in one
# table. propagate = "reference" takes all statistics from the model as it was
# before: they depend on nothing that is swept, so they are collected once, each
# sparsity is pruned once, each pair of sparsity and bits quantised once, and a
# further rank costs its evaluation.

pipeline {
  required_version = ">= 0.1"
  description      = "sparsity × bits × rank"
}

sweep "grid" "space" {
  sparsity = ["0", "0.5", "2:4"]
  bits     = [3, 4]
  rank     = [4, 16]
}

model "base" {
  source = "../quickstart/model"
}

data "text" "calib" {
  source          = "../quickstart/text/train.txt"
  tokenizer       = model.base
  sequence_length = 256
  samples         = 16
}

data "text" "test" {
  source          = "../quickstart/text/test.txt"
  tokenizer       = model.base
  sequence_length = 256
  samples         = 20
}

prune "sparsegpt" "sparse" {
  enabled   = sweep.space.sparsity != "0"
  model     = model.base
  reference = model.base
  propagate = "reference"
  data      = data.calib
  sparsity  = sweep.space.sparsity
}

quantize "gptq" "packed" {
  model      = prune.sparse
  reference  = model.base
  propagate  = "reference"
  data       = data.calib
  bits       = sweep.space.bits
  group_size = 64
}

compensate "eora" "final" {
  model     = quantize.packed
  reference = model.base
  propagate = "reference"
  data      = data.calib
  rank      = sweep.space.rank
}

evaluate "perplexity" "dense" {
  model = model.base
  data  = data.test
}

evaluate "perplexity" "final" {
  model = compensate.final
  data  = data.test
}

# Of the twelve that lose at most one percent, the one with the fewest bits in
# weights that are not zero.

locals {
  accept = 1.01
}

select "best" {
  from     = compensate.final
  minimize = compensate.final.bits_per_weight * (1 - compensate.final.sparsity)
  where    = evaluate.final.perplexity <= local.accept * evaluate.dense.perplexity
}

evaluate "perplexity" "best" {
  model = select.best
  data  = data.test
}

output "lost" {
  value = format("%.1f %%", 100 * (evaluate.final.perplexity / evaluate.dense.perplexity - 1))
}

output "lost_by_best" {
  value = format("%.1f %%", 100 * (evaluate.best.perplexity / evaluate.dense.perplexity - 1))
}
