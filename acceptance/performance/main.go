//go:build linux

// Command performance times compressc beside what others would use, in turns in
// one run: products and factorizations beside OpenBLAS, a decoder beside
// PyTorch, whole processes beside llm-compressor. It prints tables and writes
// docs/performance.md.
//
//	go run ./acceptance/performance -python python3 -write docs/performance.md
//	go run ./acceptance/performance -suite kernels -only eigen -rounds 3
//	go run ./acceptance/performance -suite processes -llm-python venv/bin/python
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/compressc/compressc/internal/linalg/kernel"
	"golang.org/x/sys/unix"
)

// options are the flags.
type options struct {
	python  string
	rounds  int
	threads []int
	only    *regexp.Regexp
	gonum   bool
	cpu     bool

	llm       string
	reference string
	profile   string
}

// suite is one table.
type suite struct {
	name, title string
	run         func(options) string
}

var suites = []suite{
	{"kernels", "Products and factorizations beside OpenBLAS", kernelTable},
	{"decoder", "Decoder and passes beside PyTorch", decoderTable},
	{"processes", "Whole processes beside llm-compressor", processTable},
	{"profile", "Where the time of a chain goes", profileTable},
}

func main() {
	log.SetFlags(0)
	o := options{}
	flag.StringVar(&o.python, "python", "python3", "an interpreter with torch, transformers, scipy and threadpoolctl")
	write := flag.String("write", "", "the file to write the tables to")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds, each of both programs")
	threads := flag.String("threads", "1,2", "numbers of threads, separated by commas")
	flag.StringVar(&o.llm, "llm-python", "", "an interpreter with llmcompressor; none: compressc alone is timed")
	flag.StringVar(&o.reference, "reference", filepath.Join("..", "shared", "reference"), "the folder with the reference model and text")
	flag.StringVar(&o.profile, "profile", "", "the file to write the chain's processor profile to, for go tool pprof")
	only := flag.String("only", "", "a regular expression: just the rows whose keys match")
	which := flag.String("suite", "", "just this table")
	flag.BoolVar(&o.gonum, "gonum", true, "time gonum as well, where it takes seconds at most")
	flag.BoolVar(&o.cpu, "cpu", false, "take one thread's processor time, and of whole processes all of it, instead of the clock's: for a machine that is busy with other work; only with -threads 1")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		log.Fatal(err)
	}
	for _, t := range strings.Split(*threads, ",") {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			log.Fatalf("-threads %q: expected numbers such as 1,2", *threads)
		}
		o.threads = append(o.threads, n)
	}
	if o.reference, err = filepath.Abs(o.reference); err != nil {
		log.Fatal(err)
	}
	if o.cpu && (len(o.threads) != 1 || o.threads[0] != 1) {
		log.Fatal("-cpu needs -threads 1")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Performance\n\nWritten by `go run ./acceptance/performance`: both programs in turns in one run of %d rounds, %s/%s, %s kernels. Times are medians over the rounds of the best of a few repetitions; the ratio is the median of the rounds' ratios of times, below 1 where compressc is faster.\n",
		o.rounds, runtime.GOOS, runtime.GOARCH, kernel.Active())
	found := false
	for _, s := range suites {
		switch *which {
		case "":
			b.WriteString(alone(s))
		case s.name:
			fmt.Fprintf(&b, "\n## %s\n%s", s.title, s.run(o))
		default:
			continue
		}
		found = true
	}
	if !found {
		log.Fatalf("-suite %q: there is no such table", *which)
	}
	fmt.Print(b.String())
	if *write != "" {
		if err := os.WriteFile(*write, []byte(b.String()), 0o666); err != nil {
			log.Fatal(err)
		}
	}
}

// alone runs a suite in a process of its own and returns its table: one starts
// with the memory that another has left, and the peak of a process that is started
// counts from that of who started it.
func alone(s suite) string {
	program, err := os.Executable()
	must(err)
	cmd := exec.Command(program, append(os.Args[1:], "-write", "", "-suite", s.name)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log.Fatalf("suite %s: %v", s.name, err)
	}
	_, table, _ := strings.Cut(string(out), "\n## ")
	return "\n## " + table
}

// decode runs a program that prints one JSON value.
func decode(cmd *exec.Cmd, v any) {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		log.Fatalf("the reference program: %v", err)
	}
	if err := json.Unmarshal(out, v); err != nil {
		log.Fatalf("the reference program printed %q: %v", out, err)
	}
}

// best is the shortest of the repetitions that fit into a quarter of a second,
// at least two, in seconds; prepare, if not nil, runs before each and is not
// timed.
func (o options) best(prepare, f func()) float64 {
	now := func() time.Duration { return time.Duration(time.Now().UnixNano()) }
	if o.cpu {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		now = threadTime
	}
	least := time.Duration(1 << 62)
	start := now()
	for i := 0; i < 3 || i < 200 && now()-start < 250*time.Millisecond; i++ {
		if prepare != nil {
			prepare()
		}
		t := now()
		f()
		if i > 0 { // the first grows buffers
			least = min(least, now()-t)
		}
	}
	return least.Seconds()
}

// threadTime is the processor time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		log.Fatal(err)
	}
	return time.Duration(t.Nano())
}

func ratios(ours, theirs []float64) []float64 {
	r := make([]float64, len(ours))
	for i := range r {
		r[i] = ours[i] / theirs[i]
	}
	return r
}

func ms(s float64) string {
	if s < 1e-3 {
		return fmt.Sprintf("%.1f µs", s*1e6)
	}
	return fmt.Sprintf("%.2f ms", s*1000)
}

func rate(flops, seconds float64) string {
	if flops == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f", flops/seconds/1e9)
}
