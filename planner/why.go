package planner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/action"
	"github.com/compressc/compressc/internal/artifact"
)

// Reason says why a part of a node would run, or would not.
type Reason struct {
	Kernel string   `json:"kernel"`
	Parts  []string `json:"parts"` // labels of the actions with this reason: "block 3"
	// Forecast is what the plan expects.
	Forecast Forecast `json:"-"`
	State    string   `json:"state"` // cached, again, run or unneeded
	// Differs lists the fields of the key in which the nearest result on record
	// is another one, of a part that would run.
	Differs []Difference `json:"differs,omitempty"`
	// Nearest is the key of that result, "" if there is none of the kernel.
	Nearest artifact.Digest `json:"nearest,omitempty"`
	// Waits names what an input comes from that would run itself: its digest,
	// and with it the key, are not known before.
	Waits []string `json:"waits,omitempty"`
}

// Difference is a field of a key in two spellings. A field that one of them
// lacks is "" there.
type Difference struct {
	Field string `json:"field"`
	Was   string `json:"was"`
	Is    string `json:"is"`
}

// Why explains a step: for each of its actions, whether its result is on record
// and, if not, what keeps the nearest result on record from being it. Actions
// with the same reason are told together, in the order of the graph.
func (p *Plan) Why(store *cache.Store, s *Step) ([]Reason, error) {
	pr := p.Predict(store, p.Steps)
	records, err := keyRecords(store, s)
	if err != nil {
		return nil, err
	}
	var out []Reason
	for _, a := range s.Actions {
		r := pr.reason(a, records[a.Kernel.Name])
		same := slices.IndexFunc(out, func(o Reason) bool {
			return o.Kernel == r.Kernel && o.Forecast == r.Forecast && slices.Equal(o.Waits, r.Waits) && sameFields(o.Differs, r.Differs)
		})
		if same < 0 {
			out = append(out, r)
		} else {
			out[same].Parts = append(out[same].Parts, r.Parts...)
		}
	}
	return out, nil
}

// sameFields compares differences; those of digests may be different ones.
func sameFields(a, b []Difference) bool {
	return slices.EqualFunc(a, b, func(x, y Difference) bool {
		return x.Field == y.Field && (x == y || artifactLike(x) && artifactLike(y))
	})
}

func artifactLike(d Difference) bool {
	return cache.Digest(d.Was).Valid() && cache.Digest(d.Is).Valid()
}

// keyRecords reads what keys on record were made of, by kernel, of the kernels
// that s uses.
func keyRecords(store *cache.Store, s *Step) (map[string][]keyRecord, error) {
	kernels := map[string]bool{}
	for _, a := range s.Actions {
		kernels[a.Kernel.Name] = true
	}
	out := map[string][]keyRecord{}
	for e, err := range store.Entries() {
		if err != nil {
			return nil, err
		}
		if !kernels[e.Kernel] || e.KeyRecord == "" {
			continue
		}
		b, err := store.Open(e.KeyRecord)
		if err != nil {
			continue // gc has taken it, or it is damaged
		}
		f, err := fields(b.Bytes())
		b.Release()
		if err == nil {
			out[e.Kernel] = append(out[e.Kernel], keyRecord{artifact.Digest(e.Action), f})
		}
	}
	return out, nil
}

type keyRecord struct {
	key    artifact.Digest
	fields map[string]string
}

// fields flattens a key record: "params.bits" → "4".
func fields(record []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(record))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than a record")
	}
	out := map[string]string{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				walk(prefix+"."+k, x)
			}
		case []any:
			for i, x := range v {
				walk(prefix+"["+strconv.Itoa(i)+"]", x)
			}
		case string:
			out[prefix[1:]] = v
		default:
			out[prefix[1:]] = fmt.Sprint(v)
		}
	}
	walk("", v)
	return out, nil
}

// reason explains one action.
func (pr *Prediction) reason(a *action.Action, records []keyRecord) Reason {
	r := Reason{Kernel: a.Kernel.Name, Parts: []string{a.Label}, Forecast: pr.Of[a]}
	switch r.Forecast {
	case Hit:
		r.State = "cached"
		return r
	case Rerun:
		r.State = "again"
		return r
	case Unneeded:
		r.State = "unneeded"
		return r
	}
	r.State = "run"
	digests := map[string]artifact.Digest{}
	unknown := map[string]bool{}
	for _, in := range a.Inputs {
		d, ok := pr.onRecord(in.Ref)
		if !ok {
			d, unknown["inputs."+in.Name] = "", true
			from := in.Ref.Action
			w := from.Node
			if from.Label != "" {
				w += ", " + from.Label
			}
			if !slices.Contains(r.Waits, w) {
				r.Waits = append(r.Waits, w)
			}
		}
		digests[in.Name] = d
	}
	_, record := action.ActionKey(a, digests)
	is, err := fields(record)
	if err != nil {
		return r
	}
	best := -1
	for i, k := range records {
		diff := differences(k.fields, is, unknown)
		if best < 0 || len(diff) < len(r.Differs) || len(diff) == len(r.Differs) && k.key < r.Nearest {
			best, r.Differs, r.Nearest = i, diff, k.key
		}
	}
	return r
}

// onRecord returns the digest of an output whose action need not run for it,
// even if it has to for the bytes.
func (pr *Prediction) onRecord(ref action.Ref) (artifact.Digest, bool) {
	if pr.Of[ref.Action] == Work {
		return "", false
	}
	return pr.recorded(ref)
}

// elements matches the index of a list's element in a field's name.
var elements = regexp.MustCompile(`\[[0-9]+\]`)

// differences compares two flattened records; unknown fields say nothing.
func differences(was, is map[string]string, unknown map[string]bool) []Difference {
	names := map[string]bool{}
	for n := range was {
		names[n] = true
	}
	for n := range is {
		names[n] = true
	}
	var out []Difference
	for _, n := range slices.Sorted(maps.Keys(names)) {
		if was[n] == is[n] || unknown[n] {
			continue
		}
		// The same in every element of a list is told once.
		d := Difference{elements.ReplaceAllString(n, "[…]"), was[n], is[n]}
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}
