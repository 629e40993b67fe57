// Package train fits a decoder, or a sliver of it, to text or to the outputs of
// another block, with AdamW and hand-written gradients.
//
// Terms. A parametrisation says how a linear layer's weight depends on what is
// trained: the weight itself (full), a low-rank path beside it (lora), or a
// low-rank change inside a pruning mask. A parameter is one trained tensor with
// its optimizer moments. A step takes a batch of windows, adds their gradients
// in order, and updates every parameter once. The state is the step count and
// all parameters: everything a run needs to go on.
//
// Invariants. The same model, plan and windows give the same bits at any number
// of threads and for any memory budget, and a run cut into pieces, with the
// state saved and restored between, gives the bits of the run in one go. What is
// not trained keeps its bits; weights outside a mask stay exactly as they were.
// The model given to a trainer is never written.
//
// As in package nn, everything is written for both float types: training runs
// in float32, float64 serves to check gradients.
//
// The package knows neither files nor tokenizers, nor where windows come from.
package train
