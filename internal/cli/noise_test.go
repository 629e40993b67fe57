package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/compressc/compressc/lang"
)

// Every mistake of a pipeline is reported, and nothing that only follows from
// one: two mistakes are two errors, however much depends on them. Each text
// stands beside badBase; a comment marks the lines that are wrong, one mistake each.
func TestMistakesAreCounted(t *testing.T) {
	dir := badFolder(t)
	t.Chdir(dir)
	if err := os.WriteFile("base.pipeline.hcl", []byte(badBase), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("recipe", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("recipe/main.pipeline.hcl", []byte(noiseModule), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, text := range noise {
		t.Run(name, func(t *testing.T) {
			want := strings.Count(text, "# wrong")
			if err := os.WriteFile("main.pipeline.hcl", []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			Main([]string{"validate", "-json"}, Streams{In: strings.NewReader(""), Out: &out, Err: &out})
			var r lang.Report
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			if r.ErrorCount != want {
				t.Errorf("%d errors, want %d", r.ErrorCount, want)
				for _, d := range r.Diagnostics {
					t.Logf("%s: %s", d.Summary, d.Detail)
				}
			}
			for _, d := range r.Diagnostics {
				if d.Range == nil {
					continue
				}
				lines := strings.Split(text, "\n")
				if strings.HasSuffix(d.Range.Filename, "main.pipeline.hcl") && d.Severity == "error" &&
					d.Range.Start.Line <= len(lines) && !strings.Contains(lines[d.Range.Start.Line-1], "# wrong") {
					t.Errorf("%s stands at line %d, which is right: %s", d.Summary, d.Range.Start.Line, lines[d.Range.Start.Line-1])
				}
			}
		})
	}
}

const noiseModule = `variable "model" {
  type = model
}

variable "bits" {
  type    = number
  default = 4

  validation {
    condition     = contains([2, 3, 4, 8], var.bits)
    error_message = "2, 3, 4 or 8 bits, not ${var.bits}."
  }
}

quantize "rtn" "q" {
  model      = var.model
  bits       = var.bits
  group_size = 64
}

output "model" {
  value = quantize.q
}

output "bits" {
  value = var.bits
}
`

const noiseTail = `
evaluate "perplexity" "ppl" {
  model = quantize.q
  data  = data.test
}

gate "g" {
  condition = evaluate.ppl.perplexity < 20 && quantize.q.bits_per_weight < 5
}

select "best" {
  from     = quantize.q
  minimize = quantize.q.size
}

export "gguf" "x" {
  model    = select.best
  path     = "out/x.gguf"
  requires = [gate.g]
}

output "o" {
  value = { size = human_size(quantize.q.size), ppl = evaluate.ppl.perplexity }
}
`

var noise = map[string]string{
	"variable of a number, and a range": `
variable "bits" {
  default = 99 # wrong
  validation {
    condition     = var.bits < 9
    error_message = "Too many."
  }
}
quantize "rtn" "q" {
  model      = model.base
  bits       = var.bits
  group_size = 0.5 # wrong
}
` + noiseTail,
	"variable of an axis": `
variable "bits" {
  default = [4, 99] # wrong
  validation {
    condition     = max(var.bits...) < 9
    error_message = "Too many."
  }
}
sweep "grid" "s" {
  bits = var.bits
}
quantize "rtn" "q" {
  model = model.base
  bits  = sweep.s.bits
}
prune "magnitude" "p" {
  model    = model.base
  sparsity = 7 # wrong
}
` + noiseTail,
	"variable through locals": `
variable "group" {
  default = 0 # wrong
  validation {
    condition     = var.group > 0
    error_message = "Positive."
  }
}
locals {
  group = var.group * 2
  name  = local.groop # wrong
}
quantize "rtn" "q" {
  model      = model.base
  group_size = local.group
}
output "name" {
  value = local.name
}
` + noiseTail,
	"variable of a source": `
variable "source" {
  default = "nowhere" # wrong
  validation {
    condition     = var.source == "model"
    error_message = "That one only."
  }
}
model "m" {
  source = var.source
}
quantize "rtn" "q" {
  model = model.m
  bitz  = 4 # wrong
}
` + noiseTail,
	"variable of a module": `
module "m" {
  source = "./recipe"
  model  = model.base
  bits   = 77 # wrong
}
quantize "rtn" "q" {
  model = model.base
  bits  = 77 # wrong
}
prune "magnitude" "again" {
  model    = module.m.model
  sparsity = 0.5
}
output "bits" {
  value = module.m.bits + 1
}
` + noiseTail,
	"variable at a point": `
sweep "grid" "s" {
  bits = [4, 5]
}
module "m" {
  source = "./recipe"
  model  = model.base
  bits   = sweep.s.bits # wrong
}
quantize "rtn" "q" {
  model = module.m.model
  bits  = 17 # wrong
}
` + noiseTail,
	"source and method": `
model "m" {
  source = "nowhere" # wrong
}
quantize "rnt" "q" { # wrong
  model = model.m
}
` + noiseTail,
	"missing model": `
quantize "rtn" "q" { # wrong
  group_size = "x" # wrong
}
` + noiseTail,
	"group size and metric": `
quantize "rtn" "q" {
  model      = model.base
  group_size = 128 # wrong
}
output "p" {
  value = evaluate.ppl.perplexitee # wrong
}
` + noiseTail,
	"sweep and type": `
sweep "grid" "s" {
  bits = [] # wrong
}
quantize "rtn" "q" {
  model = model.base
  bits  = sweep.s.bits
}
prune "magnitude" "p" {
  model    = model.bass # wrong
  sparsity = 0.5
}
` + noiseTail,
	"two blocks in a chain": `
prune "magnitude" "p" {
  model    = model.base
  sparsity = "5:4" # wrong
}
quantize "rtn" "q" {
  model      = prune.p
  group_size = 0.5 # wrong
}
` + noiseTail,
	"function and attribute": `
locals {
  a = maxx(1, 2) # wrong
  b = model.base.weights # wrong
}
quantize "rtn" "q" {
  model      = model.base
  bits       = local.a
  group_size = local.b
}
` + noiseTail,
	"cycle and name": `
locals {
  a = local.b # wrong
  b = local.a
  c = var.nothing # wrong
}
quantize "rtn" "q" {
  model      = model.base
  bits       = local.a
  group_size = local.c
}
` + noiseTail,
	"module that is not there": `
module "m" {
  source = "./recepi" # wrong
  model  = model.base
}
module "n" {
  source = "./recipe"
  modell = model.base # wrong
}
quantize "rtn" "q" {
  model = module.m.model
}
prune "magnitude" "p" {
  model    = module.n.model
  sparsity = 0.5
}
` + noiseTail,
	"for_each": `
quantize "rtn" "each" {
  for_each = [1, 2] # wrong
  model    = model.base
}
quantize "rtn" "q" {
  model = quantize.each["a"]
  bits  = "four" # wrong
}
` + noiseTail,
	"key that is not there": `
prune "magnitude" "p" {
  for_each = { a = 0.1, b = 0.2 }
  model    = model.base
  sparsity = each.value
}
quantize "rtn" "q" {
  model = prune.p["c"] # wrong
  bits  = each.value # wrong
}
` + noiseTail,
	"data and overlap": `
data "text" "d" {
  source          = "nowhere.txt" # wrong
  tokenizer       = model.base
  sequence_length = 64
}
quantize "gptq" "q" {
  model = model.base
  data  = data.d
  bits  = 1 # wrong
}
` + noiseTail,
	"tokenizer": `
model "plain" {
  source = "plain"
}
data "text" "d" {
  source          = "calib.txt"
  tokenizer       = model.plain # wrong
  sequence_length = 64
}
quantize "gptq" "q" {
  model = model.base
  data  = data.d
  bits  = 17 # wrong
}
` + noiseTail,
	"override": `
quantize "rtn" "q" {
  model = model.base
  override "model.layers.99.*" { # wrong
    bits = 8
  }
}
prune "magnitude" "p" {
  model    = model.base
  sparsity = 0.5
  override "*" {
    model = model.base # wrong
  }
}
` + noiseTail,
	"condition and objective": `
quantize "rtn" "q" {
  model      = model.base
  group_size = 64
}
gate "h" {
  condition = "much" # wrong
}
select "s" {
  from     = quantize.q
  minimize = "size" # wrong
}
export "safetensors" "s" {
  model    = select.s
  path     = "out/s"
  requires = [gate.h]
}
` + noiseTail,
	"enabled": `
quantize "rtn" "q" {
  model      = model.base
  group_size = 64
  enabled    = "perhaps" # wrong
}
prune "magnitude" "p" {
  model    = quantize.q
  sparsity = -1 # wrong
}
` + noiseTail,
	"type of a variable": `
variable "bits" {
  type    = numbr # wrong
  default = 4
}
quantize "rtn" "q" {
  model      = model.base
  bits       = var.bits
  group_size = [64] # wrong
}
` + noiseTail,
	"default of a variable": `
variable "bits" {
  type    = number
  default = "many" # wrong
}
quantize "rtn" "q" {
  model      = model.base
  bits       = var.bits
  group_size = 48.5 # wrong
}
` + noiseTail,
	"duplicate": `
quantize "rtn" "q" {
  model      = model.base
  group_size = 64
}
quantize "gptq" "q" { # wrong
  model = model.base
}
prune "magnitude" "p" {
  model    = quantize.r # wrong
  sparsity = 0.5
}
` + noiseTail,
	"seed and requires": `
quantize "rtn" "q" {
  model      = model.base
  group_size = 64
  seed       = -1 # wrong
  requires   = [quantize.q] # wrong
}
` + noiseTail,
	"label and reference": `
quantize "q" { # wrong
  model = model.base
}
prune "magnitude" "p" {
  model    = quantize.q
  sparsity = 2 # wrong
}
` + noiseTail,
	"output of a module": `
module "m" {
  source = "./recipe"
  model  = model.base
}
quantize "rtn" "q" {
  model      = module.m.modell # wrong
  group_size = module.m.bits.x # wrong
}
` + noiseTail,
	"where of a sweep": `
sweep "grid" "s" {
  bits  = [4, 8]
  where = axis.bitz > 4 # wrong
}
quantize "rtn" "q" {
  model = model.base
  bits  = sweep.s.bits
  group = 64 # wrong
}
` + noiseTail,
	"axis that is not there": `
sweep "grid" "s" {
  bits = [4, 8]
}
quantize "rtn" "q" {
  model = model.base
  bits  = sweep.s.bit # wrong
}
output "x" {
  value = sweep.t.bits # wrong
}
` + noiseTail,
	"parts of a text": `
locals {
  name = "${local.y}-${upper("x")}" # wrong
}
quantize "rtn" "q" {
  model = model.base
  bits  = length(local.name)
  base  = 4 # wrong
}
` + noiseTail,
	"model for a number": `
quantize "rtn" "q" {
  model      = 4 # wrong
  bits       = model.base # wrong
  group_size = 64
}
` + noiseTail,
	"all of what is broken": `
quantize "rtn" "q" {
  model      = model.base
  group_size = "wide" # wrong
}
output "sum" {
  value = sum(all.evaluate.ppl[*].perplexity)
}
output "of" {
  value = all.evaluate.pppl # wrong
}
` + noiseTail,
}
