package acceptance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/compressc/compressc/internal/record"
)

// Program is the built command.
type Program struct{ Path string }

// BuildProgram builds the command of the module at root into dir.
func BuildProgram(ctx context.Context, root, dir string) (*Program, error) {
	path := filepath.Join(dir, "compressc")
	if os.PathSeparator == '\\' {
		path += ".exe"
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, "./cmd/compressc")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return &Program{path}, nil
}

// RunOptions are the arguments of one `compressc run`.
type RunOptions struct {
	Pipeline, CacheDir string
	Vars               map[string]string
	Threads            int
	Memory             string // as the flag spells it: "350MB"
	Env                []string
	Flags              []string // further ones
	// Progress, when not nil, is told of each event as it comes.
	Progress func(Event)
}

func (o RunOptions) args() []string {
	args := []string{"run", "-json", "-progress", "json", "-cache-dir", o.CacheDir}
	if o.Threads > 0 {
		args = append(args, "-threads", strconv.Itoa(o.Threads))
	}
	if o.Memory != "" {
		args = append(args, "-memory", o.Memory)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Vars)) {
		args = append(args, "-var", name+"="+o.Vars[name])
	}
	return append(append(args, o.Flags...), o.Pipeline)
}

// Command prepares a run of the program: its record comes on standard output
// as JSON, its progress on standard error as one event a line.
func (p *Program) Command(ctx context.Context, o RunOptions) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.Path, o.args()...)
	cmd.Env = append(os.Environ(), o.Env...)
	return cmd
}

// Run runs a pipeline to its end and returns the record.
func (p *Program) Run(ctx context.Context, o RunOptions) (*record.Record, error) {
	cmd := p.Command(ctx, o)
	var out bytes.Buffer
	cmd.Stdout = &out
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	// What it says besides its progress, and failures.
	var complaint strings.Builder
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e Event
		isEvent := bytes.HasPrefix(lines.Bytes(), []byte("{")) && json.Unmarshal(lines.Bytes(), &e) == nil
		if !isEvent || e.Status == "failed" {
			complaint.Write(append(lines.Bytes(), '\n'))
		}
		if isEvent && o.Progress != nil {
			o.Progress(e)
		}
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", o.Pipeline, err, strings.TrimSpace(complaint.String()))
	}
	return decodeRecord(out.Bytes())
}

func decodeRecord(b []byte) (*record.Record, error) {
	var rec record.Record
	if err := json.Unmarshal(b, &rec); err != nil {
		return nil, fmt.Errorf("the run's record does not parse: %w", err)
	}
	return &rec, nil
}

// Event is one line of the program's progress; it has more fields.
type Event struct {
	Type   string `json:"type"`
	Kernel string `json:"kernel"`
	Label  string `json:"label"`
	Node   string `json:"node"`
	Status string `json:"status"`
	Rewind bool   `json:"rewind"`
	Done   int    `json:"done"`
	// Actions are counted so far, of those that have come within reach.
	Actions *record.Counts `json:"actions"`
}

// ran reports whether the event says that an action's result was computed for
// the first time.
func (e Event) ran() bool {
	return e.Type == "action_finished" && e.Status == "run" && !e.Rewind
}

// action names an action within a pipeline.
func (e Event) action() string { return e.Node + " " + e.Label + " " + e.Kernel }

// Killed reports whether err is that of a process that SIGKILL ended.
func Killed(err error) bool {
	var e *exec.ExitError
	return errors.As(err, &e) && e.ExitCode() == -1
}

// FindNode returns a record's node by name and point ("rank=32"), nil where
// there is none.
func FindNode(rec *record.Record, name, point string) *record.Node {
	for i := range rec.Nodes {
		if n := &rec.Nodes[i]; n.Name == name && PointText(n.Point) == point {
			return n
		}
	}
	return nil
}

// FindEvaluation returns a record's evaluation by name and point, nil where there
// is none.
func FindEvaluation(rec *record.Record, name, point string) *record.Evaluation {
	for i := range rec.Evaluations {
		if e := &rec.Evaluations[i]; e.Name == name && PointText(e.Point) == point {
			return e
		}
	}
	return nil
}

// PointText spells a point "axis=value,…" with axes sorted by name and the
// sweep's name left out: "rank=32".
func PointText(p record.Point) string {
	var parts []string
	for _, axis := range slices.Sorted(maps.Keys(p)) {
		short := axis
		if i := strings.LastIndexByte(axis, '.'); i >= 0 {
			short = axis[i+1:]
		}
		parts = append(parts, fmt.Sprintf("%s=%v", short, p[axis]))
	}
	return strings.Join(parts, ",")
}

// Digests are what every node of a record yielded, by name and point.
func Digests(rec *record.Record) map[string]string {
	out := map[string]string{}
	for _, n := range rec.Nodes {
		out[n.Name+"["+PointText(n.Point)+"]"] = n.Digest
	}
	return out
}
