package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

// client is an editor: it speaks to the program over its standard input and
// output.
type client struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	dir  string
	id   int
	text map[string]string
	// version of each text.
	version map[string]int
	// found are the latest findings by file.
	found map[string][]map[string]any
	log   strings.Builder
}

func startClient(t *testing.T, dir string) *client {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary is the program under this name; see TestMain.
	link := filepath.Join(t.TempDir(), "compressc")
	if err := os.Symlink(exe, link); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, dir: dir, text: map[string]string{}, version: map[string]int{}, found: map[string][]map[string]any{}}
	c.cmd = exec.Command(link, "lsp")
	c.cmd.Args[0] = "compressc"
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.in.Close()
		_ = c.cmd.Wait() // a failed test leaves it as it is
	})
	return c
}

func (c *client) uri(file string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(c.dir, file))}).String()
}

func (c *client) send(m map[string]any) {
	m["jsonrpc"] = "2.0"
	b, err := json.Marshal(m)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c.in, "Content-Length: %d\r\n\r\n%s", len(b), b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) notify(method string, params any) {
	c.send(map[string]any{"method": method, "params": params})
}

// read takes the next message; findings are kept, and everything else returned.
func (c *client) read() map[string]any {
	head, err := textproto.NewReader(c.out).ReadMIMEHeader()
	if err != nil {
		c.t.Fatalf("the server's answer: %v", err)
	}
	n, err := strconv.Atoi(head.Get("Content-Length"))
	if err != nil {
		c.t.Fatal(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.out, b); err != nil {
		c.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		c.t.Fatal(err)
	}
	if m["method"] == "textDocument/publishDiagnostics" {
		p := m["params"].(map[string]any)
		var list []map[string]any
		for _, d := range p["diagnostics"].([]any) {
			list = append(list, d.(map[string]any))
		}
		c.found[p["uri"].(string)] = list
	}
	return m
}

// call waits for the answer to a request; findings may come before it.
func (c *client) call(method string, params any) any {
	c.t.Helper()
	c.id++
	c.send(map[string]any{"id": c.id, "method": method, "params": params})
	for {
		m := c.read()
		if m["id"] != float64(c.id) {
			continue
		}
		if e := m["error"]; e != nil {
			return map[string]any{"error": e.(map[string]any)["message"]}
		}
		return m["result"]
	}
}

// findings waits for those of a file's latest text.
func (c *client) findings(file string) []map[string]any {
	for {
		p, ok := c.read()["params"].(map[string]any)
		if ok && p["uri"] == c.uri(file) && p["version"] == float64(c.version[file]) {
			return c.found[c.uri(file)]
		}
	}
}

func (c *client) open(file, text string) {
	c.text[file], c.version[file] = text, 1
	c.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{"uri": c.uri(file), "languageId": "hcl", "version": 1, "text": text}})
}

// edit replaces the first occurrence of a text, as a change of that range.
func (c *client) edit(file, from, to string) {
	text := c.text[file]
	i := strings.Index(text, from)
	if i < 0 {
		c.t.Fatalf("%q is not in %s", from, file)
	}
	c.text[file] = text[:i] + to + text[i+len(from):]
	c.version[file]++
	c.notify("textDocument/didChange", map[string]any{"textDocument": map[string]any{"uri": c.uri(file), "version": c.version[file]},
		"contentChanges": []any{map[string]any{"range": map[string]any{"start": c.position(text, i), "end": c.position(text, i+len(from))}, "text": to}}})
}

// position counts as the protocol does without further agreement: UTF-16.
func (c *client) position(text string, at int) map[string]any {
	line := strings.Count(text[:at], "\n")
	start := strings.LastIndexByte(text[:at], '\n') + 1
	n := 0
	for _, r := range text[start:at] {
		if n++; r > 0xFFFF {
			n++
		}
	}
	return map[string]any{"line": line, "character": n}
}

// at is a position that ‸ marks in a piece of the text.
func (c *client) at(file, piece string) map[string]any {
	before, after, _ := strings.Cut(piece, "‸")
	i := strings.Index(c.text[file], before+after)
	if i < 0 {
		c.t.Fatalf("%q is not in %s", before+after, file)
	}
	return map[string]any{"textDocument": map[string]any{"uri": c.uri(file)}, "position": c.position(c.text[file], i+len(before))}
}

func (c *client) note(format string, args ...any) { fmt.Fprintf(&c.log, format+"\n", args...) }

// golden of a session: the folder's name is taken out.
func (c *client) golden(name string) {
	log := strings.ReplaceAll(c.log.String(), c.uri(""), "file:///pipeline")
	golden(c.t, name, strings.ReplaceAll(log, c.dir+string(filepath.Separator), ""))
}

// json writes an answer as the log keeps it.
func (c *client) json(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		c.t.Fatal(err)
	}
	return string(b)
}

// rangeText is the text that a range of an answer covers.
func (c *client) rangeText(file string, r any) string {
	m := r.(map[string]any)
	offset := func(p any) int {
		q := p.(map[string]any)
		lines := strings.SplitAfter(c.text[file], "\n")
		n := 0
		for _, l := range lines[:int(q["line"].(float64))] {
			n += len(l)
		}
		return n + int(q["character"].(float64)) // the lines in question are ASCII
	}
	return c.text[file][offset(m["start"]):offset(m["end"])]
}

// A session with the example of a sweep, over the program's own standard input
// and output.
func TestLanguageServer(t *testing.T) {
	dir := t.TempDir()
	if err := writeModel(filepath.Join(dir, "model"), 64); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"calib.txt", "test.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), text(40000), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const file = "main.pipeline.hcl"
	src, err := os.ReadFile(filepath.Join("testdata", "lsp", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file, "values.vars.hcl", filepath.Join("recipe", "recipe.pipeline.hcl")} {
		b, err := os.ReadFile(filepath.Join("testdata", "lsp", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c := startClient(t, dir)
	c.note("initialize\n%s", c.json(c.call("initialize", map[string]any{"processId": nil, "rootUri": c.uri(""), "capabilities": map[string]any{}})))
	c.notify("initialized", map[string]any{})
	c.open(file, string(src))
	c.note("\ndiagnostics of the file as it is: %d", len(c.findings(file)))

	complete := func(piece string) {
		t.Helper()
		list := c.call("textDocument/completion", c.at(file, piece)).(map[string]any)
		c.note("\ncompletion at %s", strings.ReplaceAll(piece, "\n", "⏎"))
		for _, i := range list["items"].([]any) {
			item := i.(map[string]any)
			doc := ""
			if d, ok := item["documentation"].(map[string]any); ok {
				doc, _, _ = strings.Cut(d["value"].(string), "\n")
			}
			c.note("  %s [%v] → %q %s", item["label"], item["detail"], item["textEdit"].(map[string]any)["newText"], doc)
		}
	}
	hover := func(piece string) {
		t.Helper()
		c.note("\nhover at %s\n%s", piece, indent(hoverText(c.call("textDocument/hover", c.at(file, piece)))))
	}
	definition := func(piece string) {
		t.Helper()
		c.note("\ndefinition at %s", piece)
		for _, l := range c.call("textDocument/definition", c.at(file, piece)).([]any) {
			c.note("  %s", c.json(l))
		}
	}

	// Block types, methods, arguments, references, values.
	c.edit(file, "# top\n", "# top\npru\n")
	complete("# top\npru‸\n")
	c.edit(file, "# top\npru\n", "# top\nprune \"\" \"y\" {\n}\n")
	complete("prune \"‸\" \"y\"")
	c.edit(file, "prune \"\" \"y\" {\n}\n", "quantize \"gptq\" \"y\" {\n  \n}\n")
	complete("quantize \"gptq\" \"y\" {\n  ‸")
	c.edit(file, "\"y\" {\n  \n}\n", "\"y\" {\n  model = \n}\n")
	complete("\"y\" {\n  model = ‸")
	c.edit(file, "  model = \n", "  propagate = \n")
	complete("  propagate = ‸")
	c.edit(file, "  propagate = \n", "  requires = []\n")
	complete("  requires = [‸]")
	c.edit(file, "quantize \"gptq\" \"y\" {\n  requires = []\n}\n", "output \"o\" {\n  value = evaluate.ppl.\n}\n")
	complete("evaluate.ppl.‸")
	c.edit(file, "evaluate.ppl.\n", "sweep.\n")
	complete("value = sweep.‸")
	c.edit(file, "value = sweep.\n", "value = module.recipe.\n")
	complete("value = module.recipe.‸")
	c.edit(file, "output \"o\" {\n  value = module.recipe.\n}\n", "module \"m\" {\n  source = \"./recipe\"\n  \n}\n")
	complete("./recipe\"\n  ‸\n}")
	c.edit(file, "module \"m\" {\n  source = \"./recipe\"\n  \n}\n", "")
	c.edit(file, "  bits = [4, 8]\n", "  bits = [4, 8]\n  where = axis.\n")
	complete("where = axis.‸")
	c.edit(file, "  where = axis.\n", "")

	hover("spar‸sity  =")
	hover("qua‸ntize \"rtn\"")
	hover("quantize \"r‸tn\"")
	hover("model    = prune.spa‸rse")
	hover("var.sp‸arsity")
	hover("sweep.width.b‸its")

	definition("model    = prune.spa‸rse")
	definition("sweep.width.b‸its")
	definition("var.sp‸arsity")
	definition("module.recipe.sma‸ll")
	definition("so‸urce = \"./recipe\"")
	definition("bas‸e   = model.base")
	definition("gate.qual‸ity")

	refs := c.at(file, "prune \"wanda\" \"spa‸rse\"")
	refs["context"] = map[string]any{"includeDeclaration": true}
	c.note("\nreferences of prune.sparse")
	for _, l := range c.call("textDocument/references", refs).([]any) {
		m := l.(map[string]any)
		c.note("  %s %s", m["uri"], c.json(m["range"]))
	}

	// Renaming, in all files of the folder; the result is as valid as before.
	for _, r := range []struct{ piece, to string }{{"prune.spa‸rse", "thin"}, {"var.spar‸sity", "share"}, {"sweep.width.b‸its", "w"}, {"prune.spa‸rse", "1x"}, {"prune.spa‸rse", "twin"}, {"rtn‸\"", "gptq"}} {
		at := c.at(file, r.piece)
		c.note("\nrename at %s to %s", r.piece, r.to)
		c.note("  prepare: %s", c.json(c.call("textDocument/prepareRename", at)))
		at["newName"] = r.to
		answer := c.call("textDocument/rename", at).(map[string]any)
		changes, ok := answer["changes"].(map[string]any)
		if !ok {
			c.note("  %v", answer["error"])
			continue
		}
		var uris []string
		for uri := range changes {
			uris = append(uris, uri)
		}
		slices.Sort(uris)
		for _, uri := range uris {
			for _, e := range changes[uri].([]any) {
				edit := e.(map[string]any)
				start := edit["range"].(map[string]any)["start"].(map[string]any)
				if uri == c.uri(file) {
					c.note("  %s:%v:%v %q → %q", uri, start["line"], start["character"], c.rangeText(file, edit["range"]), edit["newText"])
				} else {
					c.note("  %s:%v:%v → %q", uri, start["line"], start["character"], edit["newText"])
				}
			}
		}
	}

	c.note("\nsymbols")
	var outline func(list []any, in string)
	outline = func(list []any, in string) {
		for _, s := range list {
			m := s.(map[string]any)
			c.note("%s%s", in, m["name"])
			if children, ok := m["children"].([]any); ok {
				outline(children, in+"  ")
			}
		}
	}
	outline(c.call("textDocument/documentSymbol", map[string]any{"textDocument": map[string]any{"uri": c.uri(file)}}).([]any), "  ")

	// Formatting: nothing to do, then what was moved.
	document := map[string]any{"textDocument": map[string]any{"uri": c.uri(file)}, "options": map[string]any{"tabSize": 2, "insertSpaces": true}}
	if edits := c.call("textDocument/formatting", document).([]any); len(edits) != 0 {
		t.Errorf("a canonical text is formatted: %v", edits)
	}
	c.edit(file, "  model    = prune.sparse\n", "      model=prune.sparse\n")
	edits := c.call("textDocument/formatting", document).([]any)
	c.note("\nformatting\n%s", c.json(edits))
	if len(edits) != 1 || strings.Replace(c.text[file], c.rangeText(file, edits[0].(map[string]any)["range"]), edits[0].(map[string]any)["newText"].(string), 1) != string(src) {
		t.Errorf("formatting does not give the text as it was: %v", edits)
	}
	c.edit(file, "      model=prune.sparse\n", "  model    = prune.sparse\n")

	// The findings are those of validate, a mistake of the model's type included.
	c.edit(file, "group_size = 32", "group_size = 48")
	c.note("\ndiagnostics with a group size that does not divide")
	for _, d := range c.findings(file) {
		c.note("  %v %v %q: %s", d["severity"], d["code"], c.rangeText(file, d["range"]), d["message"])
	}
	if err := os.WriteFile(filepath.Join(dir, file), []byte(c.text[file]), 0o666); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := Main([]string{"validate", "-json", dir}, Streams{Out: &out, Err: &errs}); code != ExitError {
		t.Fatalf("exit status %d", code)
	}
	var report struct {
		Diagnostics []struct{ Summary, Detail string }
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, d := range report.Diagnostics {
		want = append(want, d.Summary+".\n"+d.Detail)
	}
	for _, d := range c.found[c.uri(file)] {
		got = append(got, d["message"].(string))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the editor sees %q, validate says %q", got, want)
	}
	c.edit(file, "group_size = 48", "group_size = 32")
	if left := c.findings(file); len(left) != 0 {
		t.Errorf("still there: %v", left)
	}

	c.notify("textDocument/didClose", map[string]any{"textDocument": map[string]any{"uri": c.uri(file)}})
	if r := c.call("shutdown", nil); r != nil {
		t.Errorf("shutdown answers %v", r)
	}
	c.notify("exit", nil)
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("after shutdown and exit: %v", err)
	}
	c.golden("lsp.txt")
}

// hoverText is the Markdown of a hover.
func hoverText(h any) string {
	m, ok := h.(map[string]any)
	if !ok {
		return "nothing"
	}
	return m["contents"].(map[string]any)["value"].(string)
}

func indent(s string) string { return "  " + strings.ReplaceAll(s, "\n", "\n  ") }

// A client that goes away without shutdown leaves an exit status that says so.
func TestLanguageServerWithoutShutdown(t *testing.T) {
	c := startClient(t, t.TempDir())
	c.call("initialize", map[string]any{"capabilities": map[string]any{}})
	c.in.Close()
	err := c.cmd.Wait()
	if c.cmd.ProcessState.ExitCode() != ExitError {
		t.Errorf("%v, want exit status 1", err)
	}
}

// On every example: the findings of validate, and a hover for every method.
func TestLanguageServerOnExamples(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", "examples", "pipelines"))
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, "*", "*.pipeline.hcl"))
	if err != nil || len(paths) < 3 {
		t.Fatalf("%d examples: %v", len(paths), err)
	}
	c := startClient(t, root)
	c.call("initialize", map[string]any{"capabilities": map[string]any{}})
	for _, path := range paths {
		file, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		src, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		c.open(file, string(src))
		var got, want []string
		for _, d := range c.findings(file) {
			got = append(got, d["message"].(string))
		}
		var out, errs bytes.Buffer
		Main([]string{"validate", "-json", filepath.Dir(path)}, Streams{Out: &out, Err: &errs})
		var report struct {
			Diagnostics []struct {
				Summary, Detail string
				Range           struct{ Filename string }
			}
		}
		if err := json.Unmarshal(out.Bytes(), &report); err != nil {
			t.Fatal(err)
		}
		for _, d := range report.Diagnostics {
			if d.Range.Filename == path {
				want = append(want, d.Summary+".\n"+d.Detail)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the editor sees %q, validate says %q", file, got, want)
		}
		heads := regexp.MustCompile(`(?m)^(\w+) "(\w+)" "\w+" \{\n`).FindAllStringSubmatch(string(src), -1)
		if len(heads) == 0 {
			t.Errorf("%s has no blocks with methods", file)
		}
		for _, h := range heads {
			if text := hoverText(c.call("textDocument/hover", c.at(file, h[1]+` "‸`+h[2]))); !strings.Contains(text, "`"+h[2]+"`") {
				t.Errorf("%s: %s %q is %q", file, h[1], h[2], text)
			}
		}
		// In the first of them every argument is offered.
		list := c.call("textDocument/completion", c.at(file, heads[0][0]+"‸")).(map[string]any)["items"].([]any)
		if len(list) < 3 {
			t.Errorf("%s: %d arguments of %s", file, len(list), heads[0][0])
		}
	}
}

// Every method there is has a hover and is offered after its verb, and in its
// block every argument is offered and has a hover of its own.
func TestLanguageServerOnMethods(t *testing.T) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		t.Fatal(err)
	}
	c := startClient(t, t.TempDir())
	c.call("initialize", map[string]any{"capabilities": map[string]any{}})
	labels := func(list any) (out []string) {
		for _, i := range list.(map[string]any)["items"].([]any) {
			out = append(out, i.(map[string]any)["label"].(string))
		}
		return out
	}
	n := 0
	for _, f := range lang.Forms(reg) {
		for _, m := range f.Methods {
			var want []string
			for _, a := range f.Args {
				want = append(want, a.Name)
			}
			var args strings.Builder
			if m.Schema != nil {
				for _, a := range m.Schema.Args {
					want = append(want, a.Name)
					fmt.Fprintf(&args, "  %s = null\n", a.Name)
				}
			}
			n++
			file := fmt.Sprintf("m%d.pipeline.hcl", n)
			head := fmt.Sprintf("%s %q \"x%d\" {\n", f.Type, m.Name, n)
			c.open(file, head+"  \n}\n")
			name := f.Type + " " + m.Name
			if text := hoverText(c.call("textDocument/hover", c.at(file, f.Type+` "‸`+m.Name))); !strings.Contains(text, "`"+m.Name+"`") {
				t.Errorf("%s: hover is %q", name, text)
			}
			if got := labels(c.call("textDocument/completion", c.at(file, f.Type+` "‸`+m.Name))); !slices.Contains(got, m.Name) {
				t.Errorf("%s is not offered: %q", name, got)
			}
			got := labels(c.call("textDocument/completion", c.at(file, head+"  ‸")))
			for _, a := range want {
				if !slices.Contains(got, a) {
					t.Errorf("%s: %s is not offered: %q", name, a, got)
				}
			}
			full := fmt.Sprintf("f%d.pipeline.hcl", n)
			c.open(full, strings.Replace(head, "\"x", "\"y", 1)+args.String()+"}\n")
			if m.Schema == nil {
				continue
			}
			for _, a := range m.Schema.Args {
				if text := hoverText(c.call("textDocument/hover", c.at(full, "\n  ‸"+a.Name+" ="))); !strings.Contains(text, a.Name) {
					t.Errorf("%s: hover of %s is %q", name, a.Name, text)
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d methods", n)
	}
}
