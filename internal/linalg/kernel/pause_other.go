//go:build !amd64

package kernel

// Pause spins for a moment that grows with n.
func Pause(n int) {
	for range n * 16 {
		opaque(0)
	}
}
