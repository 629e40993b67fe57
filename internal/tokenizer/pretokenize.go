package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
)

// maxNesting bounds sequences inside sequences in a tokenizer.json.
const maxNesting = 16

// stage is one step of pre-tokenization: it cuts a text into pieces.
type stage struct {
	// signature describes the step canonically; equal signatures cut equally.
	signature string
	split     func(s string, emit func(string))
	// boundary: the stage always cuts between an ASCII letter and a following
	// space, and cuts the rest as it would on its own. local: the stage decides
	// by single runes, so cutting its input there beforehand changes nothing
	// once a boundary stage is present.
	boundary, local bool
}

type preTokenizerJSON struct {
	Type             string            `json:"type"`
	Pretokenizers    []json.RawMessage `json:"pretokenizers"`
	IndividualDigits bool              `json:"individual_digits"`
	AddPrefixSpace   *bool             `json:"add_prefix_space"`
	UseRegex         *bool             `json:"use_regex"`
	Pattern          patternJSON       `json:"pattern"`
	Behavior         string            `json:"behavior"`
	Invert           bool              `json:"invert"`
}

// stagesParser collects stages. Once ByteLevel has run, the pieces are spelled
// in the byte alphabet, and later stages see that spelling.
type stagesParser struct {
	stages  []stage
	spelled bool
}

func parsePreTokenizer(raw json.RawMessage) ([]stage, error) {
	var p stagesParser
	if !isNull(raw) {
		if err := p.parse(raw, 0); err != nil {
			return nil, err
		}
	}
	if !p.spelled {
		return nil, fmt.Errorf("tokenizer: there is no ByteLevel pre-tokenizer; only byte-level BPE tokenizers are supported (GPT-2, Llama 3, Qwen, SmolLM and the like), not SentencePiece ones")
	}
	return p.stages, nil
}

func (p *stagesParser) add(s stage) {
	if p.spelled {
		inner := s.split
		s.signature = "spelled " + s.signature
		s.boundary = false // a space is spelled as a letter
		s.split = func(text string, emit func(string)) {
			inner(spell(text), func(piece string) {
				raw, _ := unspell(piece) // a piece of spelled text is spelled
				emit(raw)
			})
		}
	}
	p.stages = append(p.stages, s)
}

func (p *stagesParser) parse(raw json.RawMessage, depth int) error {
	if depth > maxNesting {
		return fmt.Errorf("tokenizer: pre-tokenizer sequences nest deeper than %d", maxNesting)
	}
	var j preTokenizerJSON
	if err := json.Unmarshal(raw, &j); err != nil {
		return fmt.Errorf("tokenizer: pre-tokenizer: %w", err)
	}
	switch j.Type {
	case "Sequence":
		for _, part := range j.Pretokenizers {
			if err := p.parse(part, depth+1); err != nil {
				return err
			}
		}
		return nil
	case "Digits":
		behavior := "Contiguous"
		if j.IndividualDigits {
			behavior = "Isolated"
		}
		p.add(classStage("digits", behavior, unicode.IsNumber))
		return nil
	case "Punctuation":
		behavior := j.Behavior
		if behavior == "" {
			behavior = "Isolated"
		}
		if !knownBehavior(behavior) {
			return unknownBehavior(behavior)
		}
		p.add(classStage("punctuation", behavior, isPunctuation))
		return nil
	case "ByteLevel":
		if p.spelled {
			return fmt.Errorf("tokenizer: the pre-tokenizer has ByteLevel twice; bytes can be spelled only once")
		}
		if j.AddPrefixSpace == nil || *j.AddPrefixSpace {
			p.add(stage{signature: "prefix space", local: true, split: func(s string, emit func(string)) {
				if !strings.HasPrefix(s, " ") {
					s = " " + s
				}
				emit(s)
			}})
		}
		if j.UseRegex == nil || *j.UseRegex {
			p.add(regexStages[gpt2Regex])
		}
		p.spelled = true
		return nil
	case "Split":
		s, err := splitStage(j)
		if err != nil {
			return err
		}
		p.add(s)
		return nil
	}
	return fmt.Errorf("tokenizer: pre-tokenizer %q is not supported; known are ByteLevel, Split, Digits, Punctuation and Sequence", j.Type)
}

// regexStages are the Split stages scanned by hand, by regex.
var regexStages = func() map[string]stage {
	known := map[string]stage{}
	for _, k := range []struct {
		regex, canonical string
		split            func(string, func(string))
	}{
		{gpt2Regex, gpt2Regex, scanGPT2},
		{gpt2RegexFactored, gpt2Regex, scanGPT2},
		{llama3Regex, llama3Regex, scanLlama3(3)},
		{qwen2Regex, qwen2Regex, scanLlama3(1)},
	} {
		known[k.regex] = stage{signature: "split Isolated regex " + k.canonical, split: k.split, boundary: true}
	}
	return known
}()

func splitStage(j preTokenizerJSON) (stage, error) {
	if !knownBehavior(j.Behavior) {
		return stage{}, unknownBehavior(j.Behavior)
	}
	kind, find := "", finder(nil)
	switch {
	case j.Pattern.Regex != nil:
		if s, ok := regexStages[*j.Pattern.Regex]; ok && j.Behavior == "Isolated" && !j.Invert {
			return s, nil
		}
		f, err := regexFinder(*j.Pattern.Regex)
		if err != nil {
			return stage{}, err
		}
		kind, find = "regex "+*j.Pattern.Regex, f
	case j.Pattern.String != nil && *j.Pattern.String != "":
		kind, find = "string "+*j.Pattern.String, stringFinder(*j.Pattern.String)
	default:
		return stage{}, fmt.Errorf("tokenizer: pre-tokenizer Split has no pattern; it needs {\"Regex\": …} or {\"String\": …}")
	}
	signature := "split " + j.Behavior + " " + kind
	if j.Invert {
		signature = "split inverted " + j.Behavior + " " + kind
		find = inverted(find)
	}
	return stage{signature: signature, split: splitter(j.Behavior, find)}, nil
}

// classStage cuts around the runes for which in is true.
func classStage(name, behavior string, in func(rune) bool) stage {
	s := stage{signature: name + " " + behavior, split: splitter(behavior, runeFinder(in))}
	// In these two modes the stage cuts only beside a rune of the class, which
	// neither a letter nor a space is.
	s.local = behavior == "Isolated" || behavior == "Contiguous"
	return s
}

func isPunctuation(r rune) bool {
	if r < 0x80 {
		return r > ' ' && r < 0x7f && !(r >= '0' && r <= '9') && !(r >= 'A' && r <= 'Z') && !(r >= 'a' && r <= 'z')
	}
	return unicode.Is(unicode.P, r)
}

// parallelSafe reports whether a text may be cut between an ASCII letter and a
// following space, and before another letter, without changing any piece.
func parallelSafe(stages []stage) bool {
	boundary := false
	for _, s := range stages {
		if !s.boundary && !s.local {
			return false
		}
		boundary = boundary || s.boundary
	}
	return boundary
}
