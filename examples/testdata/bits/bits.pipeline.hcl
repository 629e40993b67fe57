# Every verb once or more on a model of two blocks, some 1 GFLOP: little enough
# for software arithmetic and for an emulated processor.

pipeline {
  description = "the same bits everywhere"
}

data "text" "train" {
  source          = "text.txt"
  sequence_length = 33
  samples         = 6
}

data "text" "calib" {
  source          = "text.txt"
  sequence_length = 40
  samples         = 5
}

data "text" "test" {
  source          = "text.txt"
  sequence_length = 48
  offset          = 100
  samples         = 3
}

train "language_model" "base" {
  data              = data.train
  hidden_size       = 96
  intermediate_size = 160
  layers            = 2
  steps             = 3
  batch_size        = 2
  shuffle           = true
}

prune "magnitude" "magnitude" {
  model    = train.base
  sparsity = 0.5
}

prune "wanda" "wanda" {
  model    = train.base
  data     = data.calib
  sparsity = "4:8"
}

prune "sparsegpt" "sparse" {
  model    = train.base
  data     = data.calib
  sparsity = "2:4"
}

allocate "rd" "shares" {
  model    = train.base
  data     = data.calib
  sparsity = 0.4
  tokens   = 60
}

prune "magnitude" "shared" {
  model      = train.base
  allocation = allocate.shares
}

allocate "rd" "widths" {
  model      = train.base
  data       = data.calib
  bits       = 4.5
  unit       = "linear"
  group_size = 32
  tokens     = 30
}

quantize "rtn" "shared" {
  model      = train.base
  allocation = allocate.widths
  group_size = 32
}

retrain "lora" "healed" {
  model = prune.sparse
  data  = data.train
  rank  = 5
  steps = 3
}

retrain "perp" "perp" {
  model = prune.magnitude
  data  = data.train
  steps = 2
}

quantize "rtn" "rounded" {
  model      = retrain.perp
  bits       = 4
  group_size = 32
}

quantize "gptq" "packed" {
  model      = retrain.healed
  data       = data.calib
  bits       = 4
  group_size = 32
}

quantize "vptq" "vectors" {
  model              = train.base
  data               = data.calib
  centroids          = 16
  residual_centroids = 16
}

quantize "bitstack" "stacked" {
  model           = train.base
  data            = data.calib
  iterations      = 4
  bits_per_weight = 5
}

compensate "eora" "eora" {
  model     = quantize.packed
  reference = train.base
  data      = data.calib
  rank      = 7
}

compensate "lorc" "lorc" {
  model     = quantize.rounded
  reference = train.base
  rank      = 5
}

evaluate "perplexity" "wanda" {
  model = prune.wanda
  data  = data.test
}

evaluate "perplexity" "eora" {
  model = compensate.eora
  data  = data.test
}

evaluate "perplexity" "lorc" {
  model = compensate.lorc
  data  = data.test
}

evaluate "perplexity" "vectors" {
  model = quantize.vectors
  data  = data.test
}

evaluate "perplexity" "stacked" {
  model = quantize.stacked
  data  = data.test
}

export "safetensors" "packed" {
  model = quantize.packed
  path  = "out/packed"
}

export "gguf" "rounded" {
  model = quantize.rounded
  path  = "out/rounded.gguf"
}

evaluate "perplexity" "shared_sparse" {
  model = prune.shared
  data  = data.test
}

evaluate "perplexity" "shared_bits" {
  model = quantize.shared
  data  = data.test
}

evaluate "sensitivity" "whole" {
  model       = train.base
  data        = data.test
  calibration = data.calib
  settings = [
    { weight_bits = 3, group_size = 32, symmetric = false },
    { activation_bits = 6, activation_symmetric = false },
    { weight_bits = 8, activation_bits = 8, activation = "tensor" },
  ]
}

evaluate "sensitivity" "parts" {
  model       = train.base
  data        = data.test
  granularity = "site"
  settings    = [{ weight_bits = 4 }, { activation_bits = 4 }]
}
