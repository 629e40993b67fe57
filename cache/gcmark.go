package cache

import (
	"os"
	"slices"
	"strings"
)

// A candidate is an index entry as gc sees it.
type candidate struct {
	action    Digest
	file      file
	seconds   float64  // to run it
	use       float64  // how likely it is to be wanted, from 0 to 1
	blobs     []Digest // of its outputs, each once
	record    Digest   // the blob of its key record, or ""
	inputs    []Digest // trees that it reads
	outputs   []treeOutput
	protected bool
	chosen    bool // gc wants it out, or its bytes
	taken     bool // out of the index
	evicted   bool // its bytes are gone, or were when gc began
	seen      int  // see rebuilder
}

// treeOutput is an output as gc sees it; stored says that its bytes are to be
// in the store.
type treeOutput struct {
	digest Digest
	stored bool
}

// mark finds out what is there and what is protected.
func (g *collector) mark() error {
	g.roots = make(map[Digest]bool)
	for _, d := range g.opts.Roots {
		g.roots[d] = true
	}
	if err := g.markRuns(); err != nil {
		return err
	}
	pins, err := g.s.Pins()
	if err != nil {
		return err
	}
	for _, p := range pins {
		for _, d := range p.Roots {
			g.roots[d] = true
		}
	}
	g.tainted = make(map[Digest]bool)
	for f, err := range g.s.files(dirTaint) {
		if err != nil {
			return err
		}
		g.tainted[Digest(f.name)] = true
	}
	g.known, g.blobs = make(map[string]bool), make(map[Digest]file)
	// Blobs come first, for entries to name them by the strings that are there.
	// One that appears in between is not among those to remove.
	for f, err := range g.s.files(dirBlobs) {
		if err != nil {
			return err
		}
		if d := Digest(f.name); d.Valid() { // Check deals with strangers
			g.blobs[d] = f
		}
	}
	for f, err := range g.s.files(dirAct) {
		if err != nil {
			return err
		}
		g.addEntry(f)
	}
	return nil
}

// addEntry reads an index entry. One that cannot be read protects nothing and
// is the next reader's to drop.
func (g *collector) addEntry(f file) {
	g.known[f.name] = true
	action := Digest(f.name)
	data, err := os.ReadFile(f.path())
	if err != nil || !action.Valid() {
		return
	}
	e, err := parseEntry(data, action)
	if err != nil {
		return
	}
	c := &candidate{action: action, file: f, seconds: e.Seconds, use: useRate(g.now.Sub(f.changed())), inputs: e.Inputs, record: e.KeyRecord}
	for i, d := range c.inputs {
		c.inputs[i] = g.one(d)
	}
	c.record = g.one(c.record)
	for _, o := range e.Outputs {
		o.Digest = g.one(o.Digest)
		c.outputs = append(c.outputs, treeOutput{o.Digest, isStored(o.Class)})
		c.evicted = c.evicted || o.Class == Evicted
	}
	// Of a tainted action nobody knows whether it would give the same again.
	c.protected = g.roots[action] || g.leases.held[action] || g.young(f.changed())
	c.protected = c.protected || g.tainted[action]
	c.blobs = digestsOf(e.blobs(isAny))
	slices.Sort(c.blobs)
	c.blobs = slices.Clip(slices.Compact(c.blobs))
	for i, d := range c.blobs {
		c.blobs[i] = g.one(d)
	}
	g.entries = append(g.entries, c)
}

// one returns the copy of d that the files on the walk have, if there is one: an
// entry's text is not kept for the digests in it.
func (g *collector) one(d Digest) Digest {
	if f, ok := g.blobs[d]; ok {
		return Digest(f.name)
	}
	return Digest(strings.Clone(string(d)))
}

// markRuns makes roots of the newest runs of each pipeline. A run that was not
// finished counts as long as no later one of its pipeline was: it is what the
// next run will resume.
func (g *collector) markRuns() error {
	runs, err := g.s.Runs()
	if err != nil {
		return err
	}
	files := make(map[string]file)
	for f, err := range g.s.files(dirRuns) {
		if err != nil {
			return err
		}
		files[f.name] = f
	}
	finished := make(map[string]int)
	for _, r := range runs { // the latest first
		keep, name := finished[r.Pipeline] < g.opts.KeepRuns, r.ID+runSuffix
		if r.Open {
			keep, name = finished[r.Pipeline] == 0 && g.opts.KeepRuns > 0, r.ID+openSuffix
		} else {
			finished[r.Pipeline]++
		}
		if keep {
			for _, d := range r.Roots {
				g.roots[d] = true
			}
			continue
		}
		f, there := files[name]
		old := g.opts.MaxAge > 0 && g.now.Sub(r.Time) >= g.opts.MaxAge
		if there && !g.young(f.changed()) && (r.Open || old) {
			g.oldRuns = append(g.oldRuns, f)
		}
	}
	return nil
}

// choose returns the entries to take out, and those whose bytes are to be
// evicted, each in the order in which to do it.
func (g *collector) choose() (out, evict []*candidate) {
	var rest []*candidate
	for _, e := range g.entries {
		switch {
		case e.protected:
		case g.opts.MaxAge == 0 && g.opts.MaxBytes == 0,
			g.opts.MaxAge > 0 && g.now.Sub(e.file.changed()) >= g.opts.MaxAge:
			out = append(out, e)
			e.taken, e.chosen = true, true // until it turns out to be in use
		default:
			rest = append(rest, e)
		}
	}
	if g.opts.MaxBytes > 0 {
		evict = g.evict(rest)
	}
	for _, e := range out {
		e.taken = false
	}
	for _, e := range evict {
		e.evicted = false
	}
	return out, evict
}

func sortedKeys[V any](m map[Digest]V) []Digest {
	keys := make([]Digest, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
