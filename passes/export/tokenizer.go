package export

import (
	"fmt"

	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/tokenizer"
)

// openTokenizer parses the model's tokenizer, which must be there. Where its
// config.json names the tokens that begin and end a text, they are the ones:
// tokenizer.json only lets them be guessed.
func (o *opened) openTokenizer() (*tokenizer.Tokenizer, error) {
	tok, err := tokenizer.FromJSON(o.tokenizer)
	if err != nil {
		return nil, err
	}
	end := func(ids []int32, guess int32, known bool) int {
		// A configuration may name tokens that only padding of the embedding
		// stands for.
		if len(ids) > 0 && tok.Name(ids[0]) != "" {
			return int(ids[0])
		}
		if known {
			return int(guess)
		}
		return -1
	}
	bos, hasBOS := tok.BOS()
	eos, hasEOS := tok.EOS()
	return tok.WithEnds(end(o.cfg.BOS, bos, hasBOS), end(o.cfg.EOS, eos, hasEOS))
}

// tokenizerKVs adds the model's tokenizer to the metadata of a GGUF file.
func (o *opened) tokenizerKVs(kvs gguf.KVs) (gguf.KVs, error) {
	if o.tokenizer == nil {
		return kvs.Set("tokenizer.ggml.model", "none"), nil
	}
	tok, err := o.openTokenizer()
	if err != nil {
		return nil, err
	}
	v, err := tok.GGUF()
	if err != nil {
		return nil, fmt.Errorf("the tokenizer cannot be written as GGUF: %w", err)
	}
	v = v.PadTo(o.cfg.Vocab)
	kvs = kvs.Set("tokenizer.ggml.model", v.Model)
	kvs = kvs.Set("tokenizer.ggml.pre", v.Pre)
	kvs = kvs.Set("tokenizer.ggml.tokens", v.Tokens)
	kvs = kvs.Set("tokenizer.ggml.token_type", v.TokenTypes)
	kvs = kvs.Set("tokenizer.ggml.merges", v.Merges)
	if v.BOS >= 0 {
		kvs = kvs.Set("tokenizer.ggml.bos_token_id", uint32(v.BOS))
	}
	if v.EOS >= 0 {
		kvs = kvs.Set("tokenizer.ggml.eos_token_id", uint32(v.EOS))
	}
	return kvs.Set("tokenizer.ggml.add_bos_token", v.AddBOS), nil
}
