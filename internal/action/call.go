package action

import (
	"fmt"
	"runtime/debug"
	"strings"
)

// PanicError says that a kernel panicked.
type PanicError struct {
	Value any
	// Stack holds the innermost frames.
	Stack string
}

func (e *PanicError) Error() string { return fmt.Sprintf("the kernel panicked: %v", e.Value) }

// Call runs a kernel; a panic becomes a *PanicError.
func Call(k *Kernel, c *Context) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{v, shortStack(debug.Stack())}
		}
	}()
	return k.Run(c)
}

// stackFrames is how many frames of a panic are shown.
const stackFrames = 8

// shortStack returns the innermost frames below the panic.
func shortStack(stack []byte) string {
	lines := strings.Split(strings.TrimSpace(string(stack)), "\n")
	// A header, then two lines a frame; what recovers comes before the panic.
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") {
			lines = lines[min(i+2, len(lines)):]
			break
		}
	}
	if len(lines) > 2*stackFrames {
		lines = lines[:2*stackFrames]
	}
	return strings.Join(lines, "\n")
}
