package cache

import (
	"bytes"
	"fmt"
)

// A sealed record is how every small file of the store looks: one line
//
//	compressc KIND 1 DIGEST
//
// and after it the body, whose SHA-256 is DIGEST. A torn write, a flipped bit
// or a file under the wrong kind of name is recognised without any knowledge
// of the body.

const sealVersion = "1"

func seal(kind string, body []byte) []byte {
	out := make([]byte, 0, len(body)+len(kind)+digestLen+16)
	out = fmt.Appendf(out, "compressc %s %s %s\n", kind, sealVersion, Sum(body))
	return append(out, body...)
}

// unseal returns the body, which shares memory with data.
func unseal(kind string, data []byte) ([]byte, error) {
	line, body, ok := bytes.Cut(data, []byte{'\n'})
	if !ok {
		return nil, fmt.Errorf("%s record without its first line: %w", kind, ErrCorrupt)
	}
	head := fmt.Appendf(nil, "compressc %s %s ", kind, sealVersion)
	sum, ok := bytes.CutPrefix(line, head)
	if !ok {
		return nil, fmt.Errorf("%s record starts with %.40q, not with %q: %w", kind, line, head, ErrCorrupt)
	}
	if string(sum) != string(Sum(body)) {
		return nil, fmt.Errorf("%s record's text does not match the digest in its first line: %w", kind, ErrCorrupt)
	}
	return body, nil
}
