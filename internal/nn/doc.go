// Package nn runs and differentiates decoders, those of the Llama family and
// those built like GPT-2 and OPT, one block at a time, on the CPU.
//
// Terms. A window is one sequence of T tokens that starts at position 0 and
// stands alone. Activations are row-major, one row a token: [T, width]. Weights
// are [out, in]. A block is one decoder layer; its input and output are rows of
// the residual stream, [T, hidden]. A site is a place where linear layers read
// their input (package arch names them); a tap sees a site's rows as the pass
// goes by. A tape holds what a backward pass needs of one block and one window.
//
// Invariants. The same inputs give the same bits at any number of threads, for
// any grouping of windows, whether activations were kept or computed again, and
// on any processor: products follow the contract of package linalg, every other
// reduction has a fixed order, and no reduction ever spans two windows.
//
// Everything is written once for both float types. Models run in float32;
// float64 exists so that gradients can be checked against finite differences.
//
// Misuse (a slice of the wrong length) panics. The package does not know where
// weights come from, how they were compressed, or what is done with gradients.
package nn
