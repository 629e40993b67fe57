package dispatch

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/linalg"
)

// No order makes a worker do more than say what is wrong with it.
func FuzzOrder(f *testing.F) {
	good, err := json.Marshal(order{Version: orderVersion, Numerics: linalg.NumericsVersion, Members: []member{
		{Kernel: "none", Inputs: []source{{Name: "x", Folder: "000"}, {Name: "y", Member: 7, Output: "z"}}, Outputs: []string{"out"}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"version":1,"members":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, orderFile), text, 0o666); err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		code := Perform(t.Context(), dir, &stderr)
		_, err := os.Stat(filepath.Join(dir, reportFile))
		if (code == 0) != (err == nil) {
			t.Errorf("status %d, report: %v", code, err)
		}
		if code != 0 && !strings.HasPrefix(stderr.String(), "Error: ") {
			t.Errorf("status %d, said %q", code, stderr.String())
		}
	})
}
