package tokenizer

// EndOfText is the one special token of ByteLevel.
const EndOfText = "<|endoftext|>"

// ByteLevel returns the tokenizer that needs no file: each byte is the token of
// its value, and <|endoftext|>, id 256, is BOS and EOS. It adds neither.
func ByteLevel() *Tokenizer {
	v := newVocabulary(257)
	for b := range 256 {
		v.mustAdd(string(alphabet[b]), b, true)
	}
	v.mustAdd(EndOfText, 256, true)
	t, err := build(parts{
		vocab: v,
		added: []addedToken{{ID: 256, Content: EndOfText, Special: true}},
		// Without merges the words do not matter; GPT-2's are those that a GGUF
		// file can name.
		preTokenizer: []byte(gpt2PreTokenizer),
		decoder:      []byte(byteLevelDecoder),
	})
	if err != nil {
		panic("tokenizer: ByteLevel: " + err.Error())
	}
	return t.withEnds(256, 256)
}

func (v *vocabulary) mustAdd(name string, id int, model bool) {
	if err := v.add(name, id, model); err != nil {
		panic(err.Error())
	}
}
