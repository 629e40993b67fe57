//go:build !amd64

package kernel

func tables() []*table { return []*table{&goTable} }

// Pause spins for a moment that grows with n.
func Pause(n int) {
	for range n * 16 {
		opaque(0)
	}
}
