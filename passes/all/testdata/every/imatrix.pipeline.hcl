quantize "imatrix" "important" {
  model      = prune.nm2
  data       = data.bytes
  bits       = 3
  group_size = 16
}

quantize "imatrix" "zero_points" {
  model      = train.base
  data       = data.bytes
  group_size = 32
  symmetric  = false
}

evaluate "perplexity" "important" {
  model = quantize.important
  data  = data.random
}

evaluate "perplexity" "zero_points" {
  model = quantize.zero_points
  data  = data.random
}
