# A file that was written, as a model again.

variable "reference" {
  type        = string
  description = "the folder of the reference material"
}

variable "windows" {
  type        = number
  default     = 20
  description = "how many windows of the test text to measure on"
}

variable "file" {
  type        = string
  description = "the model to read"
}

model "again" {
  source = var.file
}

data "text" "test" {
  source          = "${var.reference}/text/test.txt"
  tokenizer       = model.again
  sequence_length = 512
  samples         = var.windows
}

evaluate "perplexity" "again" {
  model = model.again
  data  = data.test
}
