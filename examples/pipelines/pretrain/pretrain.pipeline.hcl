# Makes the model of ../quickstart: a Llama of 1.6 million weights that reads and
# writes bytes, trained on two thirds of a novel. Every number that its bits
# depend on stands here. Takes about six minutes on two cores; on whatever
# machine, with however many threads, the files it writes are those that lie in
# ../quickstart/model already.

pipeline {
  required_version = ">= 0.1"
  description      = "a small language model from nothing"
  seed             = 20
}

data "text" "train" {
  source          = "../quickstart/text/train.txt"
  sequence_length = 256 # without a tokenizer the tokens are bytes
}

data "text" "test" {
  source          = "../quickstart/text/test.txt"
  sequence_length = 256
  samples         = 40
}

train "language_model" "small" {
  data              = data.train
  hidden_size       = 192
  intermediate_size = 512
  layers            = 4
  heads             = 6
  kv_heads          = 2
  rope_theta        = 10000
  init_std          = 0.02

  steps      = 2500
  batch_size = 3
  shuffle    = true
  schedule   = "cosine"
  warmup     = 100

  optimizer "adamw" {
    learning_rate = 5e-3
    beta1         = 0.9
    beta2         = 0.99
    epsilon       = 1e-8
    weight_decay  = 0.1
    clip          = 1
  }
}

evaluate "perplexity" "test" {
  model = train.small
  data  = data.test
}

gate "learnt" {
  condition     = evaluate.test.perplexity < 4.5
  error_message = "A byte perplexity of ${evaluate.test.perplexity} is too much for the quickstart to show anything."
}

export "safetensors" "quickstart" {
  model    = train.small
  path     = "../quickstart/model"
  dtype    = "f16"
  requires = [gate.learnt]
}

output "perplexity" {
  value = evaluate.test.perplexity
}
