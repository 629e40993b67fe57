package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/cache"
	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/internal/spell"
)

// listed is a result on record as cache ls shows it.
type listed struct {
	Action cache.Digest `json:"action"`
	Kernel string       `json:"kernel"`
	// Bytes are those of its outputs that are stored. Results that have tensors
	// in common each count them.
	Bytes   int64     `json:"bytes"`
	Seconds float64   `json:"seconds"` // that making it took
	Peak    int64     `json:"peak_bytes"`
	Made    time.Time `json:"made"`
	Used    time.Time `json:"used"`
	Inputs  int       `json:"inputs"`
}

func (a *app) cacheLsCmd() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "ls [KERNEL]", Short: "List the results on record",
		Long: `Lists what the cache has results of, by kernel, and of one kernel each result, the
one used last first: its key, the bytes of it that are stored, how long it took to
make, and when it was used. Results that share tensors each count them, so that the
sizes add up to more than cache du says.`,
		Example: "  compressc cache ls\n  compressc cache ls quantize.gptq\n  compressc cache ls -json | jq 'sort_by(-.seconds) | .[:10]'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := a.openStore()
			if err != nil {
				return err
			}
			defer s.Close()
			all := []listed{} // an empty list in JSON, not null
			kernels := map[string]bool{}
			for e, err := range s.Entries() {
				if err != nil {
					return err
				}
				kernels[e.Kernel] = true
				if len(args) == 0 || isKernel(e.Kernel, args[0]) {
					all = append(all, listedOf(e))
				}
			}
			if len(args) == 1 && len(all) == 0 {
				var names []string
				for k := range kernels {
					names = append(names, k)
				}
				slices.Sort(names)
				return fmt.Errorf("the cache has no result of a kernel %q.%s compressc cache ls lists those it has", args[0], didyoumean.Hint(args[0], names))
			}
			slices.SortFunc(all, func(x, y listed) int {
				return cmp.Or(y.Used.Compare(x.Used), strings.Compare(string(x.Action), string(y.Action)))
			})
			switch {
			case asJSON:
				return printJSON(a.Out, all)
			case len(args) == 1:
				a.showResults(all)
			default:
				a.showKernels(all)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print every result as JSON")
	return c
}

// isKernel reports whether a name means a kernel: quantize.gptq is also gptq.
func isKernel(kernel, name string) bool {
	return kernel == name || strings.HasSuffix(kernel, "."+name)
}

func listedOf(e *cache.Entry) listed {
	l := listed{Action: e.Action, Kernel: e.Kernel, Seconds: e.Seconds, Peak: e.PeakBytes, Made: e.Created, Used: e.Used, Inputs: len(e.Inputs)}
	for _, o := range e.Outputs {
		if o.Class == cache.Durable || o.Class == cache.Checkpoint {
			l.Bytes += o.Bytes
		}
	}
	return l
}

func (a *app) showResults(all []listed) {
	t := newTable(5, "ACTION", ">STORED", ">TOOK", "MADE", "USED")
	for _, l := range all {
		t.row(string(l.Action), spell.Bytes(l.Bytes), spell.Seconds(l.Seconds), l.Made.Local().Format("2006-01-02 15:04:05"), humanize.Time(l.Used))
	}
	t.write(a.Out, "", a.colored(a.Out))
}

func (a *app) showKernels(all []listed) {
	if len(all) == 0 {
		fmt.Fprintln(a.Out, "The cache has no results.")
		return
	}
	type sum struct {
		kernel  string
		n       int
		bytes   int64
		seconds float64
		used    time.Time
	}
	of := map[string]*sum{}
	var sums []*sum
	for _, l := range all {
		k := of[l.Kernel]
		if k == nil {
			k = &sum{kernel: l.Kernel}
			of[l.Kernel] = k
			sums = append(sums, k)
		}
		k.n++
		k.bytes += l.Bytes
		k.seconds += l.Seconds
		if l.Used.After(k.used) {
			k.used = l.Used
		}
	}
	slices.SortFunc(sums, func(x, y *sum) int { return strings.Compare(x.kernel, y.kernel) })
	t := newTable(5, "KERNEL", ">RESULTS", ">STORED", ">TOOK", "USED")
	for _, k := range sums {
		t.row(k.kernel, humanize.Comma(int64(k.n)), spell.Bytes(k.bytes), spell.Seconds(k.seconds), humanize.Time(k.used))
	}
	t.write(a.Out, "", a.colored(a.Out))
}
