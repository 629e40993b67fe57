// Package corpus reads text for calibration and evaluation and cuts it into
// windows of tokens.
//
// # Terms
//
// A document is one text: a whole plain-text file, or one line of a JSON Lines
// file. The stream is all documents of a corpus as ids, one after another. A
// window is SequenceLength consecutive ids of the stream; windows do not
// overlap, and window i starts at i·SequenceLength. What is left at the end is
// dropped.
//
// # Invariants
//
//   - The stream is that of Hugging Face's run_clm with an end-of-text token
//     between documents: each document encoded on its own, as the tokenizer
//     encodes a text, then EOS, but none after the last document and none where
//     the tokenizer itself already put one. A plain-text file is encoded in one
//     call, so its ids do not depend on where lines or windows end.
//   - Ill-formed UTF-8 becomes U+FFFD, one for each maximal subpart (the practice
//     that the Unicode Standard, section 3.9, recommends, and what Python's
//     errors="replace" does).
//   - Which windows are chosen is a function of the number of windows and the
//     Spec alone.
//
// The package knows no models; what it needs of a tokenizer is in package
// tokenizer.
package corpus
