// Package server is the language server: it speaks the Language Server Protocol
// 3.17 over two streams and tells an editor what the language knows.
//
// Terms. A folder is a pipeline or a module, as in package lang: one namespace
// over its files. A document is a file that is open in the editor; its text
// there wins over the disk. A check is what "compressc validate" does, and its
// findings are published whenever a document has changed.
//
// What completes is found by github.com/hashicorp/hcl-lang from a schema that
// is made from lang.Forms, so that nothing about blocks and arguments is written
// here a second time. Names (definition, references, rename) are found in the
// syntax alone, and work in a text that is broken elsewhere. Files in JSON syntax
// are checked, and nothing else.
//
// The server handles one request after the other; checks run beside them, and a
// check whose text has changed meanwhile is dropped. The package knows no
// planner: whoever starts it says how a folder is checked.
package server
