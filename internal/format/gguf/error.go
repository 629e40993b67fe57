package gguf

import "strings"

// Error says what is wrong with a file.
type Error struct {
	Path   string
	Key    string // the metadata key concerned, or ""
	Tensor string // the tensor concerned, or ""
	Detail string // what was expected and what was found
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Key != "" {
		b.WriteString(": key \"" + e.Key + "\"")
	}
	if e.Tensor != "" {
		b.WriteString(": tensor \"" + e.Tensor + "\"")
	}
	b.WriteString(": " + e.Detail)
	return b.String()
}
