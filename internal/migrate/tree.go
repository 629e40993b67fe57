package migrate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// node is a value of a YAML or JSON file: a map, a list or a scalar, in the
// order of the file.
type node struct {
	line int
	// keys and values of a map, values of a list.
	keys   []string
	values []*node
	isMap  bool
	isList bool
	// scalar is nil, bool, int64, float64 or string.
	scalar any
}

// maxDepth bounds the nesting of files: far beyond any that a person writes.
const maxDepth = 100

// maxNodes bounds the size of a file with its aliases spelt out.
const maxNodes = 100000

var errTooLarge = errors.New("the file is nested too deeply or too large for a configuration")

// parse reads JSON where the text is a JSON object and YAML otherwise.
func parse(src []byte) (*node, error) {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	if t := bytes.TrimLeft(src, " \t\r\n"); len(t) > 0 && t[0] == '{' && json.Valid(src) {
		return parseJSON(src)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, fmt.Errorf("the file is neither JSON nor YAML: %w", err)
	}
	if doc.Kind == 0 {
		return nil, errors.New("the file is empty")
	}
	left := maxNodes
	return fromYAML(&doc, 0, &left)
}

func fromYAML(y *yaml.Node, depth int, left *int) (*node, error) {
	if *left--; depth > maxDepth || *left < 0 {
		return nil, errTooLarge
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.DocumentNode:
		return fromYAML(y.Content[0], depth+1, left)
	case yaml.AliasNode:
		return fromYAML(y.Alias, depth+1, left)
	case yaml.MappingNode:
		n.isMap = true
		for i := 0; i+1 < len(y.Content); i += 2 {
			v, err := fromYAML(y.Content[i+1], depth+1, left)
			if err != nil {
				return nil, err
			}
			v.line = y.Content[i].Line
			n.keys, n.values = append(n.keys, y.Content[i].Value), append(n.values, v)
		}
		// Older recipes name a modifier by a tag: "- !GPTQModifier".
		if tag := strings.TrimPrefix(y.Tag, "!"); strings.HasSuffix(tag, modifierSuffix) {
			return &node{line: y.Line, isMap: true, keys: []string{tag}, values: []*node{n}}, nil
		}
	case yaml.SequenceNode:
		n.isList = true
		for _, c := range y.Content {
			v, err := fromYAML(c, depth+1, left)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, v)
		}
	default:
		switch y.ShortTag() {
		case "!!null":
		case "!!bool":
			n.scalar = strings.EqualFold(y.Value, "true")
		case "!!int":
			if i, err := strconv.ParseInt(strings.ReplaceAll(y.Value, "_", ""), 0, 64); err == nil {
				n.scalar = i
			} else {
				n.scalar = y.Value
			}
		case "!!float":
			if f, err := strconv.ParseFloat(y.Value, 64); err == nil {
				n.scalar = f
			} else {
				n.scalar = y.Value
			}
		default:
			n.scalar = y.Value
		}
	}
	return n, nil
}

func parseJSON(src []byte) (*node, error) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	left := maxNodes
	n, err := fromJSON(d, src, 0, &left)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return n, nil
}

func fromJSON(d *json.Decoder, src []byte, depth int, left *int) (*node, error) {
	if *left--; depth > maxDepth || *left < 0 {
		return nil, errTooLarge
	}
	t, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("the file is no JSON: %w", err)
	}
	n := &node{line: 1 + bytes.Count(src[:d.InputOffset()], []byte{'\n'})}
	switch t := t.(type) {
	case json.Delim:
		n.isMap, n.isList = t == '{', t == '['
		for d.More() {
			if n.isMap {
				key, err := d.Token()
				if err != nil {
					return nil, fmt.Errorf("the file is no JSON: %w", err)
				}
				n.keys = append(n.keys, fmt.Sprint(key))
			}
			v, err := fromJSON(d, src, depth+1, left)
			if err != nil {
				return nil, err
			}
			n.values = append(n.values, v)
		}
		if _, err := d.Token(); err != nil {
			return nil, fmt.Errorf("the file is no JSON: %w", err)
		}
	case json.Number:
		if i, err := t.Int64(); err == nil {
			n.scalar = i
		} else if f, err := t.Float64(); err == nil {
			n.scalar = f
		} else {
			n.scalar = t.String()
		}
	default:
		n.scalar = t
	}
	return n, nil
}

// get returns the value under a key, nil where there is none.
func (n *node) get(key string) *node {
	if n == nil || !n.isMap {
		return nil
	}
	for i, k := range n.keys {
		if k == key {
			return n.values[i]
		}
	}
	return nil
}

// at returns the value under a path of keys.
func (n *node) at(path ...string) *node {
	for _, key := range path {
		n = n.get(key)
	}
	return n
}

// orEmpty is n, or an empty value where there is none.
func (n *node) orEmpty() *node {
	if n == nil {
		return &node{}
	}
	return n
}

func (n *node) null() bool {
	return n == nil || !n.isMap && !n.isList && n.scalar == nil
}

func (n *node) text() (string, bool) {
	if n == nil {
		return "", false
	}
	s, ok := n.scalar.(string)
	return s, ok && s != ""
}

func (n *node) number() (float64, bool) {
	if n == nil {
		return 0, false
	}
	switch x := n.scalar.(type) {
	case int64:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}

func (n *node) whole() (int64, bool) {
	if n == nil {
		return 0, false
	}
	switch x := n.scalar.(type) {
	case int64:
		return x, true
	case float64:
		if i := int64(x); float64(i) == x {
			return i, true
		}
	}
	return 0, false
}

func (n *node) truth() (value, ok bool) {
	if n == nil {
		return false, false
	}
	value, ok = n.scalar.(bool)
	return value, ok
}

// texts returns a list of strings; a single string is a list of one.
func (n *node) texts() []string {
	if s, ok := n.text(); ok {
		return []string{s}
	}
	if n == nil || !n.isList {
		return nil
	}
	var list []string
	for _, v := range n.values {
		if s, ok := v.text(); ok {
			list = append(list, s)
		}
	}
	return list
}

// lines spells the value as YAML, for comments.
func (n *node) lines() []string {
	text, err := yaml.Marshal(n.yaml())
	if err != nil { // a node that was read can be written
		panic(err)
	}
	return strings.Split(strings.TrimRight(string(text), "\n"), "\n")
}

func (n *node) yaml() *yaml.Node {
	var y yaml.Node
	switch {
	case n.isMap:
		y.Kind = yaml.MappingNode
		for i, k := range n.keys {
			var key yaml.Node
			key.SetString(k)
			y.Content = append(y.Content, &key, n.values[i].yaml())
		}
	case n.isList:
		y.Kind = yaml.SequenceNode
		y.Style = yaml.FlowStyle
		for _, v := range n.values {
			if v.isMap {
				y.Style = 0
			}
			y.Content = append(y.Content, v.yaml())
		}
	default:
		if s, ok := n.scalar.(string); ok {
			y.SetString(s)
		} else if err := y.Encode(n.scalar); err != nil { // nil, a bool or a number
			panic(err)
		}
	}
	return &y
}
