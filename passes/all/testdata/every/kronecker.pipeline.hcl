retrain "compacter" "bottlenecks" {
  model     = prune.nm2
  data      = data.random
  placement = "both"
  n         = 2
  steps     = 7
}

retrain "compacter" "behind_mlp" {
  model       = train.base
  data        = data.bytes
  placement   = "ffn"
  bottleneck  = 8
  rank        = 2
  train_norms = false
  steps       = 2
}

quantize "gptq" "around" {
  model      = retrain.bottlenecks
  data       = data.bytes
  group_size = 16
}

retrain "lora" "around" {
  model = retrain.behind_mlp
  data  = data.random
  rank  = 2
  steps = 2
}

evaluate "perplexity" "around" {
  model = quantize.around
  data  = data.random
}

evaluate "perplexity" "behind_mlp" {
  model = retrain.around
  data  = data.random
}
