package training

import (
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/train"
)

// Optimizer are the arguments of the block optimizer.
type Optimizer struct {
	Kind         string  `chosen:"true"`
	LearningRate float64 `arg:"learning_rate" optional:"true" above:"0" doc:"peak learning rate; the method says the default"`
	Beta1        float64 `arg:"beta1" default:"0.9" min:"0" below:"1" doc:"decay of the gradient's mean"`
	Beta2        float64 `arg:"beta2" default:"0.999" min:"0" below:"1" doc:"decay of the squared gradient's mean"`
	Epsilon      float64 `arg:"epsilon" default:"1e-8" above:"0" doc:"added to the denominator"`
	WeightDecay  float64 `arg:"weight_decay" default:"0" min:"0" doc:"decoupled weight decay; norms and biases have none"`
	Clip         float64 `arg:"clip" default:"1" min:"0" doc:"largest norm of all gradients together; 0 is no limit"`
	Delta        float64 `arg:"delta" optional:"true" above:"0" doc:"adamp: a gradient whose cosine with its weight is below delta / √length tells a weight whose length does not matter, and the radial part of its update is left out; 0.1 by default"`
	WDRatio      float64 `arg:"wd_ratio" optional:"true" above:"0" max:"1" doc:"adamp: what weight decay is multiplied by for these weights; 0.1 by default"`
	Nesterov     bool    `arg:"nesterov" default:"false" doc:"adamp: Nesterov's momentum"`
}

// setting is the optimizer as the trainer has it.
func (o Optimizer) setting() train.Setting {
	w := train.AdamW{Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Epsilon, WeightDecay: o.WeightDecay, Clip: o.Clip}
	if o.Kind != (train.AdamP{}).Kind() {
		return train.Setting{Optimizer: w}
	}
	p := train.DefaultAdamP()
	p.AdamW, p.Nesterov = w, o.Nesterov
	if o.Delta != 0 {
		p.Delta = o.Delta
	}
	if o.WDRatio != 0 {
		p.DecayRatio = o.WDRatio
	}
	return train.Setting{Optimizer: p}
}

// Run are the arguments that say how long and on what to train.
type Run struct {
	Steps     int       `arg:"steps" default:"200" min:"1" doc:"optimizer steps"`
	BatchSize int       `arg:"batch_size" default:"1" min:"1" doc:"windows a step's gradient is accumulated over"`
	Warmup    float64   `arg:"warmup" default:"0.1" min:"0" doc:"steps of rising learning rate, or a share of all steps if below 1"`
	Schedule  string    `arg:"schedule" default:"linear" enum:"linear|cosine|constant" doc:"how the learning rate falls after that"`
	Shuffle   bool      `arg:"shuffle" default:"false" doc:"draw a new order of the windows for each pass over the data; otherwise they come in file order"`
	Optimizer Optimizer `block:"optimizer" label:"adamw|adamp" optional:"true" doc:"the optimizer and its settings"`
}

// Apply fills in what the arguments say of a run; rate is the method's default.
func (r Run) Apply(j *Job, rate float64, seed uint64) {
	o := r.Optimizer
	if o.LearningRate != 0 {
		rate = o.LearningRate
	}
	j.Steps = r.Steps
	j.Schedule = train.Schedule{Kind: r.Schedule, Rate: rate, Warmup: train.WarmupSteps(r.Warmup, r.Steps), Steps: r.Steps}
	j.Spec.Optimizer = o.setting()
	j.Spec.Batch = r.BatchSize
	j.Spec.Shuffle = r.Shuffle
	j.Spec.Seed = seed
}

// Check reports what is wrong with a run.
func (r Run) Check(sequenceLength int) (ds diag.List) {
	if w := train.WarmupSteps(r.Warmup, r.Steps); w > r.Steps {
		ds.Warnf("warmup", "Warm-up outlasts the run", "The learning rate rises for %d steps, but there are only %d.", w, r.Steps)
	}
	if o := r.Optimizer; o.Kind == "adamw" && (o.Delta != 0 || o.WDRatio != 0 || o.Nesterov) {
		ds.Errorf("optimizer", "Argument has no effect", "delta, wd_ratio and nesterov are arguments of optimizer \"adamp\"; this one is \"adamw\".")
	}
	if sequenceLength == 1 {
		ds.Errorf("data", "Windows too short", "Training predicts each token of a window from those before it, so windows need at least 2 tokens.")
	}
	return ds
}
