# Three models trained further on texts of three kinds, and what merges of them
# know of each.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
}

variable "targets" {
  type        = list(string)
  default     = ["*"]
  description = "globs of the linears to train"
}

variable "windows" {
  type        = number
  default     = 20
  description = "how many windows of each kind of test text to measure on"
}

variable "steps" {
  type        = number
  default     = 40
  description = "how many steps to train"
}

variable "train" {
  type        = map(string)
  default     = { novel = "novel.txt", commands = "commands.txt", manual = "manual.txt" }
  description = "the texts to train on, by kind"
}

variable "test" {
  type        = map(string)
  default     = { novel = "novel.txt", commands = "commands.txt", manual = "manual.txt" }
  description = "the texts to measure on, by kind"
}

model "base" {
  source = "${var.reference}/smollm2-135m-instruct-q4_1.gguf"
}

data "text" "train" {
  for_each        = var.train
  source          = each.value
  tokenizer       = model.base
  sequence_length = 256
  samples         = 60
}

data "text" "test" {
  for_each        = var.test
  source          = each.value
  tokenizer       = model.base
  sequence_length = 512
  samples         = var.windows
}

locals {
  tasks = { novel = 0, commands = 1, manual = 2 }
}

retrain "lora" "expert" {
  for_each = var.train
  model    = model.base
  data     = data.train[each.key]
  rank     = 16
  steps    = var.steps
  targets  = var.targets

  optimizer "adamw" {
    learning_rate = 1e-3
  }
}

sweep "grid" "by" {
  scale = [0.3, 0.6, 1]
}

merge "linear" "mean" {
  models = values(retrain.expert)
}

merge "task_arithmetic" "sum" {
  base   = model.base
  models = values(retrain.expert)
  lambda = sweep.by.scale
}

merge "consensus" "consensus" {
  base   = model.base
  models = values(retrain.expert)
  scale  = sweep.by.scale
}

merge "ties" "ties" {
  base   = model.base
  models = values(retrain.expert)
}

merge "tsvm" "tsvm" {
  base   = model.base
  models = values(retrain.expert)
  scale  = sweep.by.scale
}

merge "tall" "tall" {
  for_each = local.tasks
  base     = model.base
  models   = [retrain.expert["novel"], retrain.expert["commands"], retrain.expert["manual"]]
  task     = each.value
}

merge "dare" "thinned" {
  for_each = local.tasks
  base     = model.base
  models   = [retrain.expert[each.key]]
}

evaluate "perplexity" "base" {
  for_each = var.test
  model    = model.base
  data     = data.test[each.key]
}

evaluate "perplexity" "expert" {
  for_each = var.test
  model    = retrain.expert[each.key]
  data     = data.test[each.key]
}

evaluate "perplexity" "mean" {
  for_each = var.test
  model    = merge.mean
  data     = data.test[each.key]
}

evaluate "perplexity" "sum" {
  for_each = var.test
  model    = merge.sum
  data     = data.test[each.key]
}

evaluate "perplexity" "consensus" {
  for_each = var.test
  model    = merge.consensus
  data     = data.test[each.key]
}

evaluate "perplexity" "ties" {
  for_each = var.test
  model    = merge.ties
  data     = data.test[each.key]
}

evaluate "perplexity" "tsvm" {
  for_each = var.test
  model    = merge.tsvm
  data     = data.test[each.key]
}

evaluate "perplexity" "tall" {
  for_each = var.test
  model    = merge.tall[each.key]
  data     = data.test[each.key]
}

evaluate "perplexity" "thinned" {
  for_each = var.test
  model    = merge.thinned[each.key]
  data     = data.test[each.key]
}
