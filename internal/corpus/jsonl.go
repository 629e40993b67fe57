package corpus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// readLines returns the documents of a JSON Lines file, already well-formed
// UTF-8. Lines count from 1.
func readLines(path string, raw []byte, field string) ([]string, error) {
	var docs []string
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	for number := 1; len(raw) > 0; number++ {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte("\n"))
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		doc, err := readLine(line, field)
		if err != nil {
			return nil, fmt.Errorf("corpus: %s:%d: %w", path, number, err)
		}
		if doc != "" {
			docs = append(docs, doc)
		}
	}
	return docs, nil
}

func readLine(line []byte, field string) (string, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(line, &object); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return "", fmt.Errorf("not valid JSON at byte %d: %w; each line must be one object, such as {%q: \"…\"}", syntax.Offset, err, field)
		}
		return "", fmt.Errorf("the line is %s; expected an object, such as {%q: \"…\"}", jsonKind(line), field)
	}
	value, ok := object[field]
	if !ok {
		if object == nil {
			return "", fmt.Errorf("the line is null; expected an object, such as {%q: \"…\"}", field)
		}
		return "", fmt.Errorf("there is no field %q; %s. Name the one to read with field = …", field, fieldsOf(object))
	}
	var doc *string
	if err := json.Unmarshal(value, &doc); err != nil || doc == nil {
		return "", fmt.Errorf("field %q is %s; expected a string", field, jsonKind(value))
	}
	return *doc, nil
}

func fieldsOf(object map[string]json.RawMessage) string {
	if len(object) == 0 {
		return "the object is empty"
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, fmt.Sprintf("%q", name))
	}
	slices.Sort(names)
	const most = 12
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	return "the line has " + strings.Join(names, ", ")
}

// jsonKind names the type of a JSON value by its first byte.
func jsonKind(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}
