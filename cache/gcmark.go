package cache

import (
	"cmp"
	"math"
	"os"
	"slices"
)

// A candidate is an index entry as gc sees it.
type candidate struct {
	action    Digest
	file      file
	seconds   float64  // to make it again
	blobs     []Digest // each once
	protected bool
	taken     bool
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
	g.known = make(map[string]bool)
	for f, err := range g.s.files(dirAct) {
		if err != nil {
			return err
		}
		g.addEntry(f)
	}
	g.blobs = make(map[Digest]file)
	for f, err := range g.s.files(dirBlobs) {
		if err != nil {
			return err
		}
		if d := Digest(f.name); d.Valid() { // Check deals with strangers
			g.blobs[d] = f
		}
	}
	return nil
}

// addEntry reads an index entry. One that cannot be read protects nothing and
// is the next reader's to drop.
func (g *collector) addEntry(f file) {
	g.known[f.name] = true
	action := Digest(f.name)
	data, err := os.ReadFile(f.path)
	if err != nil || !action.Valid() {
		return
	}
	e, err := parseEntry(data, action)
	if err != nil {
		return
	}
	c := &candidate{action: action, file: f, seconds: e.Seconds}
	c.protected = g.roots[action] || g.leases.held[action] || g.young(f.info)
	c.blobs = digestsOf(e.blobs(isAny))
	if e.KeyRecord != "" {
		c.blobs = append(c.blobs, e.KeyRecord)
	}
	slices.Sort(c.blobs)
	c.blobs = slices.Compact(c.blobs)
	g.entries = append(g.entries, c)
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
		if there && !g.young(f.info) && (r.Open || old) {
			g.oldRuns = append(g.oldRuns, f)
		}
	}
	return nil
}

// choose returns the entries to take, in the order in which to take them.
func (g *collector) choose() []*candidate {
	var victims, rest []*candidate
	for _, e := range g.entries {
		switch {
		case e.protected:
		case g.opts.MaxAge == 0 && g.opts.MaxBytes == 0,
			g.opts.MaxAge > 0 && g.now.Sub(e.file.info.ModTime()) >= g.opts.MaxAge:
			victims = append(victims, e)
		default:
			rest = append(rest, e)
		}
	}
	if g.opts.MaxBytes == 0 {
		return victims
	}
	return append(victims, g.cheapest(victims, rest)...)
}

// cheapest chooses among candidates until the blobs left fit MaxBytes. The
// price of an entry is the time to make it again per byte that it frees; a
// blob that several candidates share counts in equal parts for each, and one
// that a protected entry needs does not count.
func (g *collector) cheapest(victims, candidates []*candidate) []*candidate {
	users := make(map[Digest]int) // entries that keep a blob
	fixed := make(map[Digest]bool)
	gone := make(map[*candidate]bool)
	for _, v := range victims {
		gone[v] = true
	}
	for _, e := range g.entries {
		if gone[e] {
			continue
		}
		for _, d := range e.blobs {
			users[d]++
			fixed[d] = fixed[d] || e.protected
		}
	}
	var total int64
	removable := func(d Digest) int64 {
		f, ok := g.blobs[d]
		if !ok || fixed[d] || g.roots[d] || g.leases.held[d] || g.young(f.info) {
			return 0
		}
		return f.info.Size()
	}
	for d, f := range g.blobs { // a sum of integers: the order does not matter
		if users[d] > 0 || removable(d) == 0 {
			total += f.info.Size()
		}
	}
	price := make(map[*candidate]float64, len(candidates))
	for _, c := range candidates {
		var frees float64
		for _, d := range c.blobs {
			frees += float64(removable(d)) / float64(users[d])
		}
		price[c] = math.Inf(1)
		if frees > 0 {
			price[c] = c.seconds / frees
		}
	}
	order := slices.Clone(candidates)
	slices.SortFunc(order, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(price[a], price[b]),
			a.file.info.ModTime().Compare(b.file.info.ModTime()),
			cmp.Compare(a.action, b.action))
	})
	var chosen []*candidate
	for _, c := range order {
		if total <= g.opts.MaxBytes || math.IsInf(price[c], 1) {
			break
		}
		for _, d := range c.blobs {
			if users[d]--; users[d] == 0 {
				total -= removable(d)
			}
		}
		chosen = append(chosen, c)
	}
	return chosen
}

func sortedKeys[V any](m map[Digest]V) []Digest {
	keys := make([]Digest, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
