package tokenizer

import (
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

const (
	// chunkBytes is the usual length of the pieces a long text is encoded in.
	chunkBytes = 64 << 10
	// cacheWords and cacheWordLen bound each encoder's memory of words.
	cacheWords   = 1 << 16
	cacheWordLen = 64
)

// Encode returns the ids of text, special tokens in it matched, wrapped in the
// tokenizer's template (a BOS only if the tokenizer says so). Long texts are
// encoded on all processors; the ids do not depend on how many there are.
func (t *Tokenizer) Encode(text string) []int32 { return t.EncodeSpecial(text, true) }

// EncodeSpecial is Encode, with special tokens in the text treated as ordinary
// text when parseSpecial is false. Other added tokens are matched either way.
func (t *Tokenizer) EncodeSpecial(text string, parseSpecial bool) []int32 {
	return t.encode(text, parseSpecial, runtime.GOMAXPROCS(0))
}

// EncodeBatch encodes each text as Encode does, several at a time.
func (t *Tokenizer) EncodeBatch(texts []string) [][]int32 {
	out := make([][]int32, len(texts))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	// Many short texts share a goroutine, or starting one would cost more than
	// the work in it.
	for from := 0; from < len(texts); {
		size, to := 0, from
		for to < len(texts) && (to == from || size < t.chunk) {
			size += len(texts[to])
			to++
		}
		in, ids := texts[from:to], out[from:to]
		g.Go(func() error {
			for i, text := range in {
				ids[i] = t.encode(text, true, 1)
			}
			return nil
		})
		from = to
	}
	_ = g.Wait() // the functions return no errors
	return out
}

// part is a stretch of normalised text between added tokens, or one added
// token (id ≥ 0).
type part struct {
	text string
	id   int32
}

func (t *Tokenizer) encode(text string, special bool, workers int) []int32 {
	var work []part
	size := 0
	token := func(id int32) { work = append(work, part{id: id}) }
	plain := func(s string) {
		size += len(s)
		if workers > 1 && t.parallel {
			for len(s) >= 2*t.chunk {
				cut := safeCut(s, t.chunk)
				if cut < 0 {
					break
				}
				work = append(work, part{text: s[:cut], id: -1})
				s = s[cut:]
			}
		}
		work = append(work, part{text: s, id: -1})
	}
	t.raw.split(text, special, func(s string) {
		t.normed.split(t.normalize(s), special, plain, token)
	}, token)

	if workers == 1 || size < 2*t.chunk {
		e := t.encoders.Get().(*encoder)
		defer t.encoders.Put(e)
		out := make([]int32, 0, len(t.template.prefix)+len(t.template.suffix)+size/4+len(work))
		out = append(out, t.template.prefix...)
		out = e.encode(out, work)
		return append(out, t.template.suffix...)
	}

	// Group parts into jobs of about a chunk each, encode the jobs in any order,
	// and join their results in the order of the text.
	var jobs [][]part
	for from := 0; from < len(work); {
		to, n := from, 0
		for to < len(work) && (to == from || n+len(work[to].text) <= t.chunk) {
			n += len(work[to].text)
			to++
		}
		jobs = append(jobs, work[from:to])
		from = to
	}
	results := make([][]int32, len(jobs))
	var g errgroup.Group
	g.SetLimit(workers)
	for i, job := range jobs {
		g.Go(func() error {
			e := t.encoders.Get().(*encoder)
			defer t.encoders.Put(e)
			results[i] = e.encode(make([]int32, 0, t.chunk/3), job)
			return nil
		})
	}
	_ = g.Wait() // the functions return no errors
	return slices.Concat(append(append([][]int32{t.template.prefix}, results...), t.template.suffix)...)
}

// safeCut returns the first place at or after from where s may be cut without
// changing any piece: between an ASCII letter and a space before an ASCII
// letter. Every boundary stage ends a run of letters there, looks no further
// than the space, and starts afresh. It returns -1 if there is no such place.
func safeCut(s string, from int) int {
	for i := from; i+1 < len(s); {
		k := strings.IndexByte(s[i:], ' ')
		if k < 0 {
			return -1
		}
		i += k
		if i > 0 && i+1 < len(s) && isASCIILetter(s[i-1]) && isASCIILetter(s[i+1]) {
			return i
		}
		i++
	}
	return -1
}

func isASCIILetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }

// encoder is the state of one goroutine that encodes: the pre-tokenizer's
// chain, scratch memory, and a memory of words already encoded. What it
// remembers changes speed only.
type encoder struct {
	t       *Tokenizer
	emit    []func(string) // emit[d] receives the pieces of stage d-1
	out     []int32
	scratch mergeScratch
	known   map[string]span
	arena   []int32 // the ids of known words, back to back
}

type span struct{ at, n int32 }

func newEncoder(t *Tokenizer) *encoder {
	e := &encoder{t: t, known: map[string]span{}}
	e.emit = make([]func(string), len(t.stages)+1)
	e.emit[len(t.stages)] = e.word
	for d := len(t.stages) - 1; d >= 0; d-- {
		split, next := t.stages[d].split, e.emit[d+1]
		e.emit[d] = func(s string) { split(s, next) }
	}
	return e
}

// encode appends the ids of the parts to dst.
func (e *encoder) encode(dst []int32, parts []part) []int32 {
	e.out = dst
	for _, p := range parts {
		switch {
		case p.id >= 0:
			e.out = append(e.out, p.id)
		case p.text != "":
			e.emit[0](p.text)
		}
	}
	dst, e.out = e.out, nil
	return dst
}

func (e *encoder) word(w string) {
	if s, ok := e.known[w]; ok {
		e.out = append(e.out, e.arena[s.at:s.at+s.n]...)
		return
	}
	from := len(e.out)
	e.out = e.t.vocab.appendWord(e.out, w, &e.scratch)
	if len(w) > cacheWordLen || len(e.known) >= cacheWords {
		return
	}
	at := len(e.arena)
	e.arena = append(e.arena, e.out[from:]...)
	// The clone keeps the map from holding on to the whole text.
	e.known[strings.Clone(w)] = span{int32(at), int32(len(e.arena) - at)}
}
