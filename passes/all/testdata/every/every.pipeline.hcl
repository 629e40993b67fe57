# Each kernel runs at least once, on a model of two small blocks.

data "text" "bytes" {
  source          = "text.txt"
  sequence_length = 32
  samples         = 6

}
data "text" "random" {
  source          = "text.txt"
  sequence_length = 24
  samples         = 4
  select          = "random"
  seed            = 7
}
train "language_model" "base" {
  data              = data.bytes
  hidden_size       = 32
  intermediate_size = 64
  layers            = 2
  heads             = 4
  kv_heads          = 2
  steps             = 7
  batch_size        = 2
  shuffle           = true
  schedule          = "cosine"
}
prune "magnitude" "row" {
  model      = train.base
  sparsity   = 0.3
  scope    = "row"
}
prune "magnitude" "layer" {
  model    = train.base
  sparsity = 0.5
}
prune "wanda" "nm" {
  model      = train.base
  data       = data.bytes
  sparsity   = 0.5
  scope      = "layer"
}
prune "magnitude" "global" {
  model     = train.base
  sparsity  = 0.4
  scope     = "global"
  normalise = "layer_std"
}
prune "wanda" "floors" {
  model          = prune.row
  data           = data.bytes
  sparsity       = 0.6
  scope          = "global"
  propagate      = "input"
  min_keep_layer = 0.3
}
prune "wanda" "ranked" {
  model      = train.base
  data       = data.bytes
  allocation = prune.global.allocation
}
prune "gblm" "pulled" {
  model    = prune.row
  data     = data.bytes
  sparsity = "2:4"
  targets  = ["*.1.*"]
}
prune "gblm" "even" {
  model         = train.base
  data          = data.bytes
  scope         = "global"
  propagate     = "input"
  gradient_norm = "l1"
  combine       = "normalised"
}
prune "sparsegpt" "mixed" {
  model    = train.base
  data     = data.bytes
  sparsity = "2:4"
  override "model.layers.0.mlp.*" {
    sparsity = 0.6
  }
}
prune "flap" "cut" {
  model     = train.base
  data      = data.bytes
  ratio     = 0.3
  structure = "ul-um"
  round_to  = 8
}
prune "flap" "fixed" {
  model = train.base
  data  = data.bytes
  ratio = 0.3
  mode  = "mask"
}
evaluate "perplexity" "cut" {
  model = prune.cut
  data  = data.random
}
export "gguf" "cut" {
  model = prune.cut
  path  = "cut.gguf"
}
evaluate "perplexity" "fixed" {
  model = prune.fixed
  data  = data.random
}
allocate "rd" "shares" {
  model    = train.base
  data     = data.bytes
  sparsity = 0.35
  scorer   = "wanda"
  tokens   = 64
}
prune "sparsegpt" "shared" {
  model      = train.base
  data       = data.bytes
  allocation = allocate.shares
}
allocate "rd" "widths" {
  model      = train.base
  data       = data.bytes
  bits       = 4.6
  unit       = "linear"
  distortion = "logit_mse"
  aggregate  = "max"
  group_size = 32
  tokens     = 40
}
quantize "gptq" "shared" {
  model      = prune.shared
  data       = data.bytes
  allocation = allocate.widths
  group_size = 32
}
evaluate "perplexity" "shared" {
  model = quantize.shared
  data  = data.random
}
retrain "lora" "masked" {
  model = prune.nm2
  data  = data.random
  rank  = 4
  steps = 6
}
prune "wanda" "nm2" {
  model    = train.base
  data     = data.bytes
  sparsity = "2:4"
}
retrain "lora" "kept" {
  model = quantize.rtn
  data  = data.random
  rank  = 3
  steps = 2
}
retrain "perp" "scaled" {
  model     = prune.nm2
  data      = data.random
  lora_type = "scale_lora"
  rank      = 2
  steps     = 2
}
retrain "perp" "pruned" {
  model     = prune.nm2
  data      = data.random
  lora_type = "lora_prune"
  train     = ["norms", "lora"]
  steps     = 2
  rank      = 2
}
retrain "perp" "fitted" {
  model     = prune.nm2
  data      = data.random
  reference = train.base
  mode      = "reconstruct"
  steps     = 3
  rank      = 2
}
evaluate "perplexity" "i" {
  model = retrain.fitted
  data  = data.random
}
quantize "vptq" "vectors" {
  model             = train.base
  data              = data.bytes
  centroids         = 16
  residual_centroids = 4
  outlier_fraction  = 0.1
  outlier_centroids = 2
  vector            = 3
  override "model.layers.*.self_attn.*" {
    outlier_fraction = 0
  }
}
quantize "vptq" "alone" {
  model      = train.base
  data       = data.bytes
  centroids  = 16
  compensate = false
}
quantize "bitstack" "half" {
  model           = train.base
  data            = data.bytes
  iterations      = 4
  bits_per_weight = 5
}
quantize "bitstack" "pair" {
  model      = train.base
  scaling    = false
  iterations = 3
  blocks     = 2
  rank       = 2
}
quantize "rtn" "rtn" {
  model      = train.base
  bits       = 3
  group_size = 16
  symmetric  = false
}
quantize "gptq" "gptq" {
  model      = retrain.masked
  data       = data.bytes
  group_size = 16
}
quantize "gptq" "live" {
  model         = train.base
  data          = data.bytes
  bits          = 2
  group_size    = 32
  act_order     = false
  static_groups = false
  scale_dtype   = "f32"
  refine        = 0
  propagate     = "input"
}
quantize "awq" "searched" {
  model         = prune.nm2
  data          = data.bytes
  bits          = 3
  group_size    = 32
  grid          = 5
  search_tokens = 40
}
quantize "awq" "unscaled" {
  model      = prune.cut
  data       = data.bytes
  bits       = 4
  group_size = -1
  symmetric  = true
  scale      = false
  targets    = ["*.mlp.*"]
}
compensate "eora" "eora" {
  model     = quantize.gptq
  reference = train.base
  data      = data.bytes
  rank      = 4
}
compensate "lorc" "lorc" {
  model     = quantize.rtn
  reference = train.base
  rank      = 4
}
train "language_model" "gpt2" {
  data              = data.bytes
  architecture      = "gpt2"
  hidden_size       = 32
  intermediate_size = 48
  layers            = 2
  heads             = 4
  steps             = 3
  batch_size        = 2
}
train "language_model" "opt" {
  data              = data.bytes
  architecture      = "opt"
  hidden_size       = 32
  intermediate_size = 48
  layers            = 1
  heads             = 2
  steps             = 2
}
transform "rmsnorm" "rms" {
  model  = train.gpt2
  verify = data.random
}
transform "rmsnorm" "affine" {
  model       = train.opt
  fold_affine = false
}
transform "crmsnorm" "crms" {
  model = train.gpt2
}
retrain "lora" "crms" {
  model = transform.crms
  data  = data.bytes
  rank  = 2
  steps = 2
}
evaluate "perplexity" "crms" {
  model = retrain.crms
  data  = data.random
}
evaluate "perplexity" "rms" {
  model = transform.rms
  data  = data.random
}
evaluate "perplexity" "affine" {
  model = transform.affine
  data  = data.random
}
transform "smooth" "smooth" {
  model = prune.nm2
  data  = data.bytes
}
prune "wanda" "again" {
  model    = transform.smooth
  data     = data.bytes
  sparsity = 0.7
}
transform "smooth" "searched" {
  model = compensate.lorc_dense
  data  = data.bytes
  sites = ["qkv", "o", "gate_up", "down"]
  alpha = "search"
}
compensate "lorc" "lorc_dense" {
  model     = prune.again
  reference = transform.smooth
  rank      = 2
}
evaluate "perplexity" "smooth" {
  model           = transform.searched
  data            = data.random
  activation_bits = 8
}
evaluate "perplexity" "static" {
  model           = transform.searched
  data            = data.random
  activation_bits = 4
  activation      = "tensor"
  calibration     = data.bytes
}
evaluate "sensitivity" "whole" {
  model       = train.base
  data        = data.random
  calibration = data.bytes
  settings = [
    { weight_bits = 3, symmetric = false },
    { activation_bits = 5, activation_symmetric = false },
    { weight_bits = 8, activation_bits = 8, activation = "tensor" },
  ]
}
evaluate "sensitivity" "parts" {
  model       = train.base
  data        = data.random
  calibration = data.bytes
  granularity = "site"
  settings    = [{ weight_bits = 4, activation_bits = 6, activation = "tensor" }, { activation_bits = 4 }]
}
retrain "lora" "one" {
  model = train.base
  data  = data.random
  rank  = 2
  steps = 2
}
retrain "lora" "two" {
  model = train.base
  data  = data.bytes
  rank  = 3
  steps = 2
}
merge "linear" "mean" {
  models  = [retrain.one, retrain.two]
  weights = [1, 2]
}
merge "task_arithmetic" "sum" {
  base   = train.base
  models = [retrain.one, retrain.two]
  lambda = 0.5
}
merge "ties" "agreed" {
  base    = train.base
  models  = [retrain.one, retrain.two]
  density = [0.3, 0.6]
}
merge "dare" "thinned" {
  base          = train.base
  models        = [retrain.one, retrain.two]
  rescale       = "l1"
  sign_election = true
}
merge "slerp" "arc" {
  models = [merge.mean, merge.agreed]
  t      = [0, 0.7]
}
merge "tsvm" "directions" {
  base     = train.base
  models   = [retrain.one, retrain.two]
  scale    = 0.7
  outliers = "clip"
}
merge "consensus" "both" {
  base   = train.base
  models = [retrain.one, retrain.two]
  rule   = "ties"
}
merge "tall" "back" {
  base   = train.base
  models = [retrain.one, retrain.two]
  task   = 1
}
evaluate "perplexity" "directions" {
  model = merge.directions
  data  = data.random
}
evaluate "perplexity" "both" {
  model = merge.both
  data  = data.random
}
evaluate "perplexity" "back" {
  model = merge.back
  data  = data.random
}
evaluate "perplexity" "merged" {
  model = merge.arc
  data  = data.random
}
evaluate "perplexity" "merged_too" {
  model = merge.thinned
  data  = data.random
}
evaluate "perplexity" "merged_also" {
  model = merge.sum
  data  = data.random
}
retrain "adalora" "ranked" {
  model       = prune.nm2
  data        = data.random
  init_rank   = 3
  target_rank = 2
  steps       = 12
  explore     = 0.25
  interval    = 2
}
retrain "adalora" "beside" {
  model       = quantize.rtn
  data        = data.random
  init_rank   = 3
  target_rank = 1
  steps       = 6
  explore     = 0.25
  interval    = 1
}
retrain "bone" "affine" {
  model = prune.nm2
  data  = data.random
  block = 4
  steps = 2
  optimizer "adamp" {
    weight_decay = 0.1
  }
}
retrain "bone" "additive" {
  model   = train.base
  data    = data.random
  block   = 4
  variant = "additive"
  steps   = 2
}
retrain "compacter" "shared" {
  model       = train.base
  data        = data.random
  n           = 2
  train_norms = true
  steps       = 2
}
evaluate "perplexity" "j" {
  model = retrain.ranked
  data  = data.random
}
evaluate "perplexity" "k" {
  model = retrain.beside
  data  = data.random
}
evaluate "perplexity" "l" {
  model = retrain.affine
  data  = data.random
}
evaluate "perplexity" "m" {
  model = retrain.additive
  data  = data.random
}
evaluate "perplexity" "n" {
  model = retrain.shared
  data  = data.random
}
evaluate "perplexity" "z" {
  model = prune.mixed
  data  = data.random
}
evaluate "perplexity" "y" {
  model = prune.nm
  data  = data.random
}
evaluate "perplexity" "a" {
  model = compensate.eora
  data  = data.random
}
evaluate "perplexity" "b" {
  model = compensate.lorc
  data  = data.random
}
evaluate "perplexity" "c" {
  model = retrain.kept
  data  = data.random
}
evaluate "perplexity" "d" {
  model = prune.row
  data  = data.random
}
evaluate "perplexity" "e" {
  model = prune.layer
  data  = data.random
}
evaluate "perplexity" "pulled" {
  model = prune.pulled
  data  = data.random
}
evaluate "perplexity" "even" {
  model = prune.even
  data  = data.random
}
evaluate "perplexity" "floors" {
  model = prune.floors
  data  = data.random
}
evaluate "perplexity" "ranked" {
  model = prune.ranked
  data  = data.random
}
evaluate "perplexity" "f" {
  model = retrain.scaled
  data  = data.random
}
evaluate "perplexity" "g" {
  model = retrain.pruned
  data  = data.random
}
evaluate "perplexity" "vectors" {
  model = quantize.vectors
  data  = data.random
}
evaluate "perplexity" "alone" {
  model = quantize.alone
  data  = data.random
}
evaluate "perplexity" "half" {
  model = quantize.half
  data  = data.random
}
evaluate "perplexity" "pair" {
  model = quantize.pair
  data  = data.random
}
compensate "lorc" "aligned" {
  model     = quantize.searched
  reference = train.base
  rank      = 3
}
evaluate "perplexity" "searched" {
  model = compensate.aligned
  data  = data.random
}
evaluate "perplexity" "unscaled" {
  model = quantize.unscaled
  data  = data.random
}
evaluate "perplexity" "h" {
  model = quantize.live
  data  = data.random
}
