package tokenizer

import (
	"encoding/json"
	"fmt"
)

// template is what a tokenizer puts around one encoded text.
type template struct{ prefix, suffix []int32 }

type postProcessorJSON struct {
	Type          string                       `json:"type"`
	Processors    []json.RawMessage            `json:"processors"`
	Single        []templatePiece              `json:"single"`
	SpecialTokens map[string]templateTokenJSON `json:"special_tokens"`
	Cls           *namedToken                  `json:"cls"`
	Sep           *namedToken                  `json:"sep"`
}

// templatePiece is one place in a template: a special token or the text.
type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	} `json:"SpecialToken"`
	Sequence *struct {
		ID string `json:"id"`
	} `json:"Sequence"`
}

type templateTokenJSON struct {
	IDs []int32 `json:"ids"`
}

// namedToken is a [name, id] pair.
type namedToken struct {
	name string
	id   int32
}

// UnmarshalJSON reads the two-element array.
func (n *namedToken) UnmarshalJSON(raw []byte) error {
	pair := []any{&n.name, &n.id}
	if err := json.Unmarshal(raw, &pair); err != nil {
		return err
	}
	if len(pair) != 2 {
		return fmt.Errorf("expected [name, id], found %d elements", len(pair))
	}
	return nil
}

// parseTemplate wraps inner in what the post-processor adds to a single text.
func parseTemplate(raw json.RawMessage, inner template, size, depth int) (template, error) {
	if isNull(raw) {
		return inner, nil
	}
	if depth > maxNesting {
		return inner, fmt.Errorf("tokenizer: post-processor sequences nest deeper than %d", maxNesting)
	}
	var j postProcessorJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return inner, fmt.Errorf("tokenizer: post-processor: %w", err)
	}
	var before, after []int32
	switch j.Type {
	case "ByteLevel": // only moves offsets
		return inner, nil
	case "Sequence":
		var err error
		for _, part := range j.Processors {
			if inner, err = parseTemplate(part, inner, size, depth+1); err != nil {
				return inner, err
			}
		}
		return inner, nil
	case "BertProcessing", "RobertaProcessing":
		if j.Cls == nil || j.Sep == nil {
			return inner, fmt.Errorf("tokenizer: post-processor %s needs cls and sep", j.Type)
		}
		before, after = []int32{j.Cls.id}, []int32{j.Sep.id}
	case "TemplateProcessing":
		texts := 0
		for _, piece := range j.Single {
			switch {
			case piece.Sequence != nil:
				texts++
			case piece.SpecialToken != nil:
				tok, ok := j.SpecialTokens[piece.SpecialToken.ID]
				if !ok {
					return inner, fmt.Errorf("tokenizer: the template names the special token %s, which its special_tokens lack", quoteShort(piece.SpecialToken.ID))
				}
				if texts == 0 {
					before = append(before, tok.IDs...)
				} else {
					after = append(after, tok.IDs...)
				}
			default:
				return inner, fmt.Errorf("tokenizer: a piece of the template is neither a SpecialToken nor a Sequence")
			}
		}
		if texts != 1 {
			return inner, fmt.Errorf("tokenizer: the template for one text holds the text %d times; expected once", texts)
		}
	default:
		return inner, fmt.Errorf("tokenizer: post-processor %q is not supported; known are TemplateProcessing, ByteLevel, BertProcessing, RobertaProcessing and Sequence", j.Type)
	}
	for _, id := range append(before[:len(before):len(before)], after...) {
		if id < 0 || int(id) >= size {
			return inner, fmt.Errorf("tokenizer: the template uses id %d, but the vocabulary ends at %d", id, size-1)
		}
	}
	return template{
		prefix: append(before, inner.prefix...),
		suffix: append(inner.suffix[:len(inner.suffix):len(inner.suffix)], after...),
	}, nil
}

// templateFor writes the post-processor that puts one token before a text.
func templateFor(name string, id int32) json.RawMessage {
	q := quoteJSON(name)
	return json.RawMessage(fmt.Sprintf(`{"type":"TemplateProcessing",`+
		`"single":[{"SpecialToken":{"id":%[1]s,"type_id":0}},{"Sequence":{"id":"A","type_id":0}}],`+
		`"pair":[{"SpecialToken":{"id":%[1]s,"type_id":0}},{"Sequence":{"id":"A","type_id":0}},`+
		`{"SpecialToken":{"id":%[1]s,"type_id":1}},{"Sequence":{"id":"B","type_id":1}}],`+
		`"special_tokens":{%[1]s:{"id":%[1]s,"ids":[%[2]d],"tokens":[%[1]s]}}}`, q, id))
}
