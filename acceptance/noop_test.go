package acceptance

import (
	"bytes"
	"strings"
	"testing"

	"github.com/compressc/compressc/internal/cli"
)

// wide is a pipeline of a thousand actions on a toy model of ten blocks.
func wide(t testing.TB) string {
	t.Helper()
	text := strings.NewReplacer(
		"hidden_size       = 128", "hidden_size       = 32",
		"intermediate_size = 256", "intermediate_size = 64",
		"layers            = 3", "layers            = 10",
		"steps             = 15", "steps             = 1",
		"sequence_length = 64", "sequence_length = 16",
		"group_size = 32", "group_size = 32\n  bits       = sweep.rank.bits",
		"rank = RANKS", "rank = [2, 4, 6, 8, 10, 12, 14, 16, 18]\n  bits = [2, 3, 4, 8]",
	).Replace(toyText(t, "RANKS"))
	return writePipeline(t, text)
}

// command runs the program's command line in this process.
func command(t testing.TB, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := cli.Main(args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("%v: exit status %d\n%s", args, code, errs.String())
	}
	return out.String()
}

// BenchmarkNoOpRun is a whole `compressc run` of which everything is cached:
// parsing, planning, lowering, looking up, the record.
func BenchmarkNoOpRun(b *testing.B) {
	dir, cacheDir := wide(b), b.TempDir()
	args := []string{"run", "-progress", "plain", "-cache-dir", cacheDir, dir}
	command(b, args...)
	done := ""
	for b.Loop() {
		done = command(b, args...)
	}
	b.Log(done[strings.LastIndex(done, "Done:"):])
}
