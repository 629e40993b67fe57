package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// printJSON prints v for programs, and for people who look over their shoulder.
func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// printRaw prints JSON as it is but for white space: numbers keep their digits
// and fields their order, also those that this version does not know.
func printRaw(w io.Writer, raw []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s\n", b.Bytes())
	return err
}
