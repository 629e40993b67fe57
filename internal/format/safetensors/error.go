package safetensors

import "strings"

// Error says what is wrong with a file or a checkpoint folder.
type Error struct {
	Path   string // the file or folder
	Tensor string // the tensor concerned, or ""
	Detail string // what was expected and what was found
	Err    error  // the cause, or nil
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Path)
	if e.Tensor != "" {
		b.WriteString(": tensor \"" + e.Tensor + "\"")
	}
	b.WriteString(": " + e.Detail)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }
