// Command report is the long form of the acceptance suite: it runs the pipelines
// in acceptance/pipelines on the real model, compares what comes out with what
// independent programs measured, and writes the tables. From the module's root:
//
//	go run ./acceptance/report -reference ../shared/reference -dir DIR -write docs/results.md
//
// Sections are measured one after the other, and what each found is kept in the
// folder given by -dir: a report that was broken off goes on where it was, and
// -only measures single sections anew. What is kept counts as long as the
// program, this command and the pipelines are the same.
//
// It exits with 1 if a number is out of its tolerance and no reason is known,
// and with 1 if a promise (sharing, memory, threads) is not kept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compressc/compressc/acceptance/pages"

	"github.com/compressc/compressc/acceptance"
)

// section is one part of the report.
type section struct {
	name    string
	measure func(*pages.Page) error
}

// sections in the order in which they are printed; those that the others' models
// come from are first.
func (r *report) sections() []section {
	return []section{
		{"rows", r.rows},
		{"layers", r.layers},
		{"heldout", r.heldOut},
		{"noise", r.noise},
		{"methods", r.methods},
		{"zeros", r.zeros},
		{"exports", r.exports},
		{"sharing", r.sharing},
		{"memory", r.memory},
		{"threads", r.threads},
		{"golden", r.golden},
		{"kills", r.kills},
	}
}

func sectionNames() []string {
	var names []string
	for _, s := range new(report).sections() {
		names = append(names, s.name)
	}
	return names
}

// options are the flags.
type options struct {
	reference, dir, cacheDir, write string
	only                            []string
	small                           bool
}

func main() {
	log.SetFlags(log.Ltime)
	var o options
	flag.StringVar(&o.reference, "reference", "", "the folder of the reference material (also COMPRESSC_REFERENCE; ../shared/reference by default)")
	flag.StringVar(&o.dir, "dir", "", "the folder for caches and for what sections found, so that a later report goes on from there; a temporary one by default")
	flag.StringVar(&o.cacheDir, "cache-dir", "", "the cache of the rows; in -dir by default. Measurements of time and memory have caches of their own, which start empty")
	flag.StringVar(&o.write, "write", "", "the file to write the report to; every section must have been measured")
	flag.Func("only", "sections to measure anew, separated by commas: "+strings.Join(sectionNames(), ", "), func(s string) error {
		o.only = strings.Split(s, ",")
		for _, name := range o.only {
			if !slices.Contains(sectionNames(), name) {
				return fmt.Errorf("no section %q", name)
			}
		}
		return nil
	})
	flag.BoolVar(&o.small, "small", false, "compress one block and measure on two windows, to see that the report works: what it says of numbers means nothing")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("unexpected argument %q", flag.Arg(0))
	}
	if err := run(context.Background(), o); err != nil {
		log.Fatal(err)
	}
}

// report is one report under way.
type report struct {
	ctx       context.Context
	reference acceptance.Reference
	program   *acceptance.Program
	scale     scale
	// cache is that of the rows; scratch is a folder for caches that start
	// empty, and for files.
	cache, scratch string
}

// scale is how much is compressed and measured.
type scale struct {
	blocks, windows, steps int
	small                  bool
}

var (
	whole = scale{blocks: 30, windows: 20, steps: 40}
	small = scale{blocks: 1, windows: 2, steps: 2, small: true}
)

const introduction = `# Results on a real model

Written by ` + "`go run ./acceptance/report -write docs/results.md`" + `, which anyone can repeat with the reference material: SmolLM2-135M-Instruct from its Q4_1 file, the linears of its blocks compressed, calibrated on the first 16 windows of 512 tokens of one text, measured on the first 20 windows of another.
`

func run(ctx context.Context, o options) error {
	ref, err := acceptance.FindReference(o.reference, ".")
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "compressc-report")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if o.dir == "" {
		o.dir = tmp
	}
	if o.cacheDir == "" {
		o.cacheDir = filepath.Join(o.dir, "cache")
	}
	program, err := acceptance.BuildProgram(ctx, ".", tmp)
	if err != nil {
		return err
	}
	r := &report{ctx: ctx, reference: ref, program: program, scale: whole, cache: o.cacheDir, scratch: tmp}
	if o.small {
		r.scale = small
	}
	key, err := r.key()
	if err != nil {
		return err
	}
	kept := pages.Kept{Dir: filepath.Join(o.dir, "sections"), Key: key}
	wanted := func(name string) bool { return len(o.only) == 0 || slices.Contains(o.only, name) }
	before := map[string]*pages.Page{}
	var missing []string
	for _, s := range r.sections() {
		// A section that is named is measured anew.
		if p := kept.Load(s.name); p != nil && (len(o.only) == 0 || !wanted(s.name)) {
			before[s.name] = p
		} else if !wanted(s.name) {
			missing = append(missing, s.name)
		}
	}
	if o.write != "" && len(missing) > 0 {
		return fmt.Errorf("%s would not be whole: sections %s have not been measured with this program; leave -only out, or name the -dir where they were", o.write, strings.Join(missing, ", "))
	}
	var measured []*pages.Page
	for _, s := range r.sections() {
		if p := before[s.name]; p != nil {
			log.Printf("%s: measured before, in %.0f s", s.name, p.Seconds)
			measured = append(measured, p)
			continue
		}
		if !wanted(s.name) {
			continue
		}
		log.Printf("%s: begins", s.name)
		p := &pages.Page{Small: r.scale.small}
		start := time.Now()
		if err := s.measure(p); err != nil {
			return fmt.Errorf("section %s: %w", s.name, err)
		}
		p.Seconds = time.Since(start).Seconds()
		log.Printf("%s: took %.0f s", s.name, p.Seconds)
		if err := kept.Save(s.name, p); err != nil {
			return err
		}
		measured = append(measured, p)
	}
	head := introduction
	if o.small {
		head += "\n**A small report: one block, two windows, two steps. It shows that the report works; its numbers mean nothing.**\n"
	}
	return finish(o.write, head, measured)
}

// finish prints what was measured under head, writes them, and fails if a promise was
// not kept.
func finish(write, head string, measured []*pages.Page) error {
	text := head
	var broken []string
	var seconds float64
	for _, p := range measured {
		text += "\n" + p.Text
		broken = append(broken, p.Broken...)
		seconds += p.Seconds
	}
	fmt.Print(text)
	log.Printf("all sections together: %.0f s", seconds)
	if write != "" {
		if err := os.WriteFile(write, []byte(text), 0o666); err != nil {
			return err
		}
	}
	if len(broken) > 0 {
		return errors.New("not as promised, and for no known reason: " + strings.Join(broken, "; "))
	}
	return nil
}
