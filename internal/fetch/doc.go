// Package fetch copies sources from elsewhere onto this machine, to where package
// origin looks for them. Only compressc lock asks for it; nothing else of the
// program uses the network for sources.
//
// Whatever is copied appears whole or not at all. A file is written under a name
// that ends in Incomplete; what a broken connection left there is gone on with
// where it is known to be the same file: by the server's word for it (If-Range),
// or because a digest says what must come out. The folder of a copy is made under
// another name and renamed when all its files are there; in the Hugging Face
// cache, whose layout is not ours, the file by which a snapshot is recognised is
// put there last. Two processes that want the same copy wait for each other.
//
// Names that a server gives are used only where they stay in their folder. A
// credential is sent to the host that it is for, over https or to this machine,
// and is part of no message. Addresses that a server redirects to are part of
// none either, since they hold signatures.
//
// Every error is a *Failure, whose text is for people: what, where, what was
// expected, what to try.
package fetch
