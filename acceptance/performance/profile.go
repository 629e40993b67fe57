//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/compressc/compressc/acceptance"
)

// kernels are the packages whose functions are the micro-kernels: products,
// packing, and elementary functions by vector instructions.
var kernels = []string{"internal/linalg/kernel.", "internal/linalg/vmath."}

// spinning is how workers wait for each other, which is no work.
var spinning = "github.com/compressc/compressc/internal/linalg/kernel.pause"

// profileTable says where the processor's time of the chain goes: Wanda, LoRA,
// GPTQ and EoRA of the reference model from an empty cache, in this process.
func profileTable(o options) string {
	dir, err := os.MkdirTemp("", "compressc-performance")
	must(err)
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join("acceptance", "pipelines", "chain.pipeline.hcl"))
	must(err)
	reference, err := filepath.Abs(o.reference)
	must(err)
	s, err := acceptance.OpenSession(dir, string(text), acceptance.SessionOptions{CacheDir: filepath.Join(dir, "cache"),
		Vars: map[string]string{"reference": reference, "windows": "4"}, Threads: slices.Max(o.threads)})
	must(err)
	defer s.Close()
	var nodes []string
	for _, st := range s.Plan.Steps {
		if len(st.Targets()) > 0 {
			nodes = append(nodes, st.Node.Addr())
		}
	}
	log.Printf("profile: %s", strings.Join(nodes, ", "))
	var raw bytes.Buffer
	must(pprof.StartCPUProfile(&raw))
	err = s.Run(context.Background(), nodes...)
	pprof.StopCPUProfile()
	must(err)
	if o.profile != "" {
		must(os.WriteFile(o.profile, raw.Bytes(), 0o666))
	}
	p, err := profile.Parse(&raw)
	must(err)
	return profileText(p)
}

// profileText is the table of a profile: the share of the micro-kernels, and
// what takes most of the rest.
func profileText(p *profile.Profile) string {
	var total, inside int64
	by := map[string]int64{}
	for _, s := range p.Sample {
		if len(s.Location) == 0 || len(s.Location[0].Line) == 0 {
			continue
		}
		v := s.Value[len(s.Value)-1]
		total += v
		name := s.Location[0].Line[0].Function.Name
		// A sample that falls due while the scheduler interrupts a function is
		// booked on the interruption.
		if name == "runtime.asyncPreempt" && len(s.Location) > 1 && len(s.Location[1].Line) > 0 {
			name = s.Location[1].Line[0].Function.Name
		}
		if name != spinning && slices.ContainsFunc(kernels, func(k string) bool { return strings.Contains(name, k) }) {
			inside += v
		}
		by[strings.TrimPrefix(name, "github.com/compressc/compressc/")] += v
	}
	names := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b)) })
	var b strings.Builder
	fmt.Fprintf(&b, "\nWanda 2:4 → LoRA → GPTQ → EoRA of all linears from an empty cache: %.0f s of processor time, %.0f %% of it in micro-kernels (products, packing, vector functions).\n\n| function | share |\n|---|---|\n",
		float64(total)/1e9, 100*float64(inside)/float64(total))
	for _, n := range names[:min(12, len(names))] {
		fmt.Fprintf(&b, "| `%s` | %.1f %% |\n", n, 100*float64(by[n])/float64(total))
	}
	return b.String()
}
