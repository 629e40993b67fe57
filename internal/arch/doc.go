// Package arch describes model architectures as data: what a Hugging Face
// config.json says of a decoder, and from it which tensors a checkpoint holds,
// with their names and shapes, and which linear layers read which input.
//
// Terms. A decoder is an embedding, a row of equal blocks, a final norm and a
// head. A block has seven linear layers; each has a role ("attn.q"), a weight
// of shape [out, in], and an input site: the place in the block where its
// input arises. Layers that share a site share their input, and so every
// statistic of it.
//
// The package knows shapes and names only: no weights, no arithmetic, no file
// format besides config.json.
package arch
