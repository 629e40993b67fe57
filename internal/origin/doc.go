// Package origin says where the copies lie that were made of sources elsewhere:
// models, adapters and texts that a pipeline names by an address instead of a
// path. It knows which addresses there are and how their copies are laid out on
// this machine, and nothing of how they come here: it never uses the network
// (see package fetch).
//
// A source is one of
//
//   - hf://OWNER/NAME, a repository of a hub, whose copy lies in the local
//     Hugging Face cache in the layout of the hub's own tools,
//   - https://HOST/…/FILE, a file, with those beside it that a reader needs,
//   - oci://REGISTRY/REPOSITORY:TAG or …@sha256:DIGEST, an artifact of a registry,
//     whose layers are files.
//
// Copies of the last two are folders in one folder, that of Places, under the
// SHA-256 of the address. A folder under that name is whole: it is made under
// another one, which begins with Unfinished, and renamed. A commit is what a
// revision or a tag was when it was looked up: of a hub the commit, of a registry
// the digest of the manifest. It never means anything else afterwards.
package origin
