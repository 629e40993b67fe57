package main

import (
	"os"
	"path/filepath"
	"strings"
)

// pipeline has all kinds of outputs (durable, transient, checkpoints) and an
// export. Its variable makes variants that share most of their work.
const pipeline = `
variable "bits" {
  type    = number
  default = 4
}
data "text" "calib" {
  source          = "TEXT"
  sequence_length = 32
  samples         = 4
}
data "text" "test" {
  source          = "TEXT"
  sequence_length = 32
  offset          = 40
  samples         = 4
}
train "language_model" "base" {
  data              = data.calib
  hidden_size       = 32
  intermediate_size = 64
  layers            = 2
  steps             = 6
  batch_size        = 2
}
prune "sparsegpt" "sparse" {
  model    = train.base
  data     = data.calib
  sparsity = "2:4"
}
quantize "gptq" "low" {
  model      = prune.sparse
  data       = data.calib
  bits       = var.bits
  group_size = 32
}
sweep "grid" "rank" {
  rank = [4, 8]
}
compensate "eora" "final" {
  model     = quantize.low
  reference = train.base
  data      = data.calib
  rank      = sweep.rank.rank
}
evaluate "perplexity" "ppl" {
  model = compensate.final
  data  = data.test
}
export "safetensors" "files" {
  model = quantize.low
  path  = "out"
}
`

// variants are values of the pipeline's variable.
var variants = []string{"4", "8", "2"}

// writePipeline puts the pipeline into a folder of its own below dir.
func writePipeline(dir, name, text string) (string, error) {
	abs, err := filepath.Abs(text)
	if err != nil {
		return "", err
	}
	folder := filepath.Join(dir, name)
	if err := os.Mkdir(folder, 0o777); err != nil {
		return "", err
	}
	hcl := strings.ReplaceAll(pipeline, "TEXT", filepath.ToSlash(abs))
	return folder, os.WriteFile(filepath.Join(folder, "p.pipeline.hcl"), []byte(hcl), 0o666)
}
