package cli

import (
	"os/exec"
	"testing"
	"time"
)

// startLimit is many times what a start takes (a few milliseconds), so that a
// busy machine does not fail the test; what it guards against is work in init,
// such as a question to the terminal or a table that is computed.
const startLimit = 150 * time.Millisecond

// The program starts at once.
func TestColdStart(t *testing.T) {
	best := time.Hour
	for range 10 {
		start := time.Now()
		if out, err := exec.Command("compressc", "version").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if best = min(best, time.Since(start)); best < startLimit {
			return
		}
	}
	t.Errorf("compressc version took %v at best, want less than %v", best, startLimit)
}
