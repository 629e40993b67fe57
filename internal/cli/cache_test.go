package cli

import (
	"strings"
	"testing"
)

func TestTooLittleRoom(t *testing.T) {
	for _, c := range []struct {
		bytes, free int64
		want        string
	}{
		{0, 0, ""},
		{10, 10, ""},
		{10, -1, ""},
		{3e9, 1e9, "about 3.0 GB will be written into the cache, and 1.0 GB are free in /c."},
	} {
		if got := tooLittleRoom(c.bytes, c.free, "/c"); !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%d of %d: %q", c.bytes, c.free, got)
		}
	}
}
