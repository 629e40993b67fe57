// Package tokenizer turns text into token ids and back, for byte-level
// byte-pair-encoding (BPE) vocabularies: those of the GPT-2, Llama 3, Qwen and
// SmolLM families.
//
// # Terms
//
// An added token is matched verbatim in the text before anything else; a
// special token is an added token that carries control meaning. What lies
// between added tokens is normalised (for example NFC), cut into words by the
// pre-tokenizer's stages, and each word's bytes are joined pairwise by the
// merges, lowest rank first and leftmost among equals. The template wraps the
// result, for example with a beginning-of-text id (BOS).
//
// The byte alphabet is the printable spelling of bytes that these vocabularies
// use: a space is "Ġ", a newline "Ċ" (Radford et al., GPT-2, 2019).
//
// # Invariants
//
//   - The order of work and every rule of matching follow the Rust library
//     huggingface/tokenizers, so that ids equal those the model was trained on.
//   - A Tokenizer never changes after it was made and is safe for concurrent
//     use.
//   - Ids do not depend on the number of threads: a long text is cut only where
//     the pre-tokenizer is certain to cut.
//   - Encode accepts any bytes. Ill-formed UTF-8 is encoded byte by byte, and
//     Decode returns it unchanged; replacing it by U+FFFD is up to who reads the
//     text.
//
// # Known differences
//
// Letters, digits and normal forms are those of the Unicode version that Go and
// x/text carry; the Rust library's tables are newer for the former and older for
// the latter, so code points that entered Unicode in between may be cut or
// ordered differently. Pre-tokenizer regexes that are not scanned by hand run on
// a .NET-style engine: what it cannot express is refused when the file is read.
//
// The package knows no model, no container format and no file system: a GGUF
// vocabulary arrives as the values of its keys.
package tokenizer
