// Package kerneltest helps to test code in assembler.
package kerneltest

import (
	"encoding/binary"
	"os"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/arch/arm64/arm64asm"
)

var encoded = regexp.MustCompile(`(?m)^\tWORD \$0x([0-9a-f]{8})(?: // (.*))?$`)

// Encodings checks that the instructions of an arm64 source file that are written as
// numbers are those that the comments behind them say.
func Encodings(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := encoded.FindAllSubmatch(text, -1)
	if len(all) == 0 {
		t.Fatalf("%s: no instruction is written as a number", file)
	}
	for _, m := range all {
		n, err := strconv.ParseUint(string(m[1]), 16, 32)
		if err != nil {
			t.Fatal(err)
		}
		i, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, uint32(n)))
		if err != nil {
			t.Errorf("%s: %s should be %s: %v", file, m[1], m[2], err)
		} else if got := arm64asm.GNUSyntax(i); got != string(m[2]) {
			t.Errorf("%s: %s is %s, should be %s", file, m[1], got, m[2])
		}
	}
}
