// Package passes holds the one shape that every method has: an argument
// struct, a type rule that needs no weights, and a lowering to actions. Methods
// live in a folder a verb and a file a method. They know neither HCL, nor the
// cache, nor the scheduler.
package passes

import (
	"context"
	"io"

	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/diag"
	"github.com/compressc/compressc/internal/model"
)

// Model is a model between blocks. Type is nil where the source is not at
// hand; the parts are there once the block that yields the model is lowered.
type Model struct {
	Type *model.Type
	// From is the address of the block that yields the model, for messages.
	From string

	// Config holds the leaf config.json, Tokenizer the leaf tokenizer.json; a
	// model without a tokenizer has no valid Tokenizer.
	Config, Tokenizer action.Ref
	// Embed holds the leaf model.embed_tokens.weight.
	Embed action.Ref
	// Blocks hold a decoder block's leaves each, without the block's prefix:
	// "self_attn.q_proj.weight"; see package blockwise for masks, codes and
	// side paths.
	Blocks []action.Ref
	// Final holds model.norm.weight and, when untied, lm_head.weight.
	Final action.Ref
	// Scalings are what the blocks in Type.Linears[…].ScaledBy did, oldest first.
	Scalings []Scaling
}

// Scaling is a rewriting of channels that left what the model computes as it was.
// By it a model from before can be scaled alike, so that the two can be compared.
type Scaling struct {
	// By is the address of the block that scaled.
	By string
	// Blocks hold a leaf F32 [factors] for each site, named like it, whose inputs
	// were divided; they are not valid where nothing was scaled.
	Blocks []action.Ref
}

// RefKind names the kind in messages.
func (*Model) RefKind() string { return "model" }

// DataType is what is known of data before it is read.
type DataType struct {
	// Windows is 0 where the source is not at hand.
	Windows        int
	SequenceLength int
	// Tokenizer is the digest of the tokenizer, "" when it is not known.
	Tokenizer string
	// WindowDigests identify each window's tokens, to find overlaps.
	WindowDigests []string
}

// Data is tokenised text: windows of equal length that stand alone.
type Data struct {
	Type DataType
	From string
	// Tokens holds the leaf tokens, I32 [windows, sequence_length].
	Tokens action.Ref
}

// RefKind names the kind in messages.
func (*Data) RefKind() string { return "data" }

// Adapter is a set of low-rank side paths apart from any model.
type Adapter struct {
	Base *Model
	From string
	Rank int
	// Alpha is the numerator of the scale alpha/rank that stands before B·A; 0
	// stands for a scale of 1 whatever the rank.
	Alpha float64
	// Alphas are those of the layers that have another, by their paths; where
	// Alpha is 0 there are none.
	Alphas map[string]float64
	// Ranks of the updates by the paths of their layers: Rank is what most have.
	Ranks map[string]int
	// Blocks hold "<linear>.lora_A" [r, in] and "<linear>.lora_B" [out, r].
	Blocks []action.Ref
}

// Known reports whether it is known what the adapter updates: not where its
// source, or that of its model, is not at hand.
func (a *Adapter) Known() bool { return a.Ranks != nil && a.Base != nil && a.Base.Type != nil }

// RefKind names the kind in messages.
func (*Adapter) RefKind() string { return "adapter" }

// AlphaOf returns the numerator of the scale of an update of this rank of the
// layer at path: the rank itself where the scale is 1.
func (a *Adapter) AlphaOf(path string, rank int) float64 {
	if a.Alpha == 0 {
		return float64(rank)
	}
	if alpha, ok := a.Alphas[path]; ok {
		return alpha
	}
	return a.Alpha
}

// Allocation gives every linear layer of a model a number of its own: a budget
// that was spread over them. Which layer has which is decided while running.
type Allocation struct {
	From string
	// Of says what the numbers are: "sparsity" or "bits".
	Of string
	// Total is what the numbers come to over all weights.
	Total float64
	// Type is that of the model whose layers these are, nil where it is not known.
	Type *model.Type
	// Layers are the paths of the linears that have numbers.
	Layers map[string]bool
	// Blocks hold the leaf "report", one a decoder block: linear → numbers, that
	// under Of among them. They are not valid where a block has no such layers.
	Blocks []action.Ref
}

// RefKind names the kind in messages.
func (*Allocation) RefKind() string { return "allocation" }

// Metric is one number a report will hold.
type Metric struct {
	Name, Doc string
}

// Report is what an evaluation yields: a JSON leaf called "report" whose
// fields include the metrics.
type Report struct {
	Metrics []Metric
	Ref     action.Ref
}

// Export is files made from values. It is no action: its bytes go to the
// user's folder, streamed, and not to the store; what identifies them does.
type Export struct {
	// Kernel and Impl name the writer; Params are all that its bytes depend on
	// besides the inputs. Paths are not among them.
	Kernel string
	Impl   int
	Params any
	Inputs []action.Input
	// Files are the paths to write, relative to the pipeline's folder.
	Files []string
	// Write streams every file. open loads an input by name and returns its
	// release; create starts one of Files, which is complete once closed.
	Write func(ctx context.Context, open func(input string) (*artifact.Value, func(), error), create func(file string) (io.WriteCloser, error)) error
}

// Result is what a block yields; only the fields its verb makes are set.
type Result struct {
	Model   *Model
	Adapter *Adapter
	// Allocation is what allocate decides.
	Allocation *Allocation
	Report     *Report
	Export     *Export
	// Layers are the reports of the decoder blocks that were changed, one or
	// more a block, and of what lies outside them.
	Layers []LayerReport
	// Logs are JSON leaves called "log", one a chunk of training steps: losses
	// by step.
	Logs []action.Ref
}

// Outside, in the place of a block's number, is what lies outside the blocks.
const Outside = -1

// LayerReport is a JSON leaf called "report" about layers of a decoder block:
// linear → numbers such as relative_output_error. The block stands beside the
// reference because equal blocks share one action, whose label is that of
// whoever asked for it first. Outside the blocks names are whole.
type LayerReport struct {
	Block int
	Ref   action.Ref
}

// Call is one block at one point, its arguments decoded.
type Call struct {
	// Node is the block's address with its point.
	Node string
	// Args points to the method's argument struct.
	Args any
	// Seed is the block's seed.
	Seed uint64
	// Decision is what Pass.Decide's action has decided; nil while it is not
	// known.
	Decision []byte
}

// Pass is one method of one verb.
type Pass struct {
	Verb, Method string
	// Summary is one line; Doc is the page's body in Markdown; Paper cites.
	Summary, Doc, Paper string
	// NewArgs returns a pointer to a zero argument struct; its schema says the
	// defaults.
	NewArgs func() any
	// Type checks the call against the types of its inputs and returns the
	// types of its outputs. It reads no weights. An input whose type is not
	// known makes outputs whose type is not known.
	Type func(*Call) (Result, diag.List)
	// Lower adds the call's actions and returns the typed result with its
	// references set. It is called once Type found no error and all inputs
	// are lowered.
	Lower func(*Call, *action.Graph, Result) Result
	// Decide is set by methods whose result's shapes are known only once an
	// action has run: it lowers that action and returns the output that holds
	// the leaf "decision", a JSON document. ok is false for a call whose shapes
	// do not hang on it. Until the document is there Type is called without it
	// and yields shapes to check with, with model.Type.Undecided set to the
	// call's node; then it is called again with Call.Decision, and so is the
	// Type of all that follows. Lower is called only with the decision.
	Decide func(*Call, *action.Graph) (ref action.Ref, ok bool)
}
