package lang

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// The few fields of SARIF 2.1.0 that a report of findings in text needs; names
// are the standard's, which is at
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/sarif-v2.1.0-os.html.

type sarifLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool sarifTool `json:"tool"`
	// ColumnKind says what columns count: code points here.
	ColumnKind  string            `json:"columnKind"`
	Invocations []sarifInvocation `json:"invocations"`
	Results     []sarifResult     `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"semanticVersion"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	ShortDescription sarifText `json:"shortDescription"`
}

type sarifText struct {
	Text string `json:"text"`
}

// sarifInvocation holds what is wrong without a place: code hosts refuse
// results that have none.
type sarifInvocation struct {
	Successful    bool                `json:"executionSuccessful"`
	Notifications []sarifNotification `json:"toolExecutionNotifications,omitempty"`
}

type sarifNotification struct {
	Level   string    `json:"level"`
	Message sarifText `json:"message"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
	// BaseID names the folder that relative URIs start from.
	BaseID string `json:"uriBaseId,omitempty"`
}

type sarifRegion struct {
	StartLine   int        `json:"startLine"`
	StartColumn int        `json:"startColumn"`
	EndLine     int        `json:"endLine"`
	EndColumn   int        `json:"endColumn"`
	Snippet     *sarifText `json:"snippet,omitempty"`
}

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	// sarifBase stands for the folder the program was called in, which code
	// hosts take for the root of the repository.
	sarifBase = "%SRCROOT%"
)

// WriteSARIF writes the diagnostics as a SARIF 2.1.0 log, which code hosts show
// beside the lines. Files are those of the Pipeline, version is the program's.
// Findings without a place in a file become notifications of the tool.
func WriteSARIF(w io.Writer, diags hcl.Diagnostics, files map[string]*hcl.File, version string) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{},
		Tool: sarifTool{sarifDriver{Name: "compressc", Version: version, InformationURI: "https://github.com/compressc/compressc", Rules: []sarifRule{}}}}
	inv := sarifInvocation{Successful: true}
	for _, d := range sortDiagnostics(diags) {
		level := "error"
		if d.Severity == hcl.DiagWarning {
			level = "warning"
		}
		message := sarifText{strings.TrimSpace(d.Summary + ".\n" + d.Detail)}
		if d.Subject == nil {
			inv.Successful = inv.Successful && level == "warning"
			inv.Notifications = append(inv.Notifications, sarifNotification{level, message})
			continue
		}
		id := RuleID(d.Summary)
		rules := &run.Tool.Driver.Rules
		rule := slices.IndexFunc(*rules, func(r sarifRule) bool { return r.ID == id })
		if rule < 0 {
			rule = len(*rules)
			*rules = append(*rules, sarifRule{id, sarifText{d.Summary}})
		}
		run.Results = append(run.Results, sarifResult{RuleID: id, RuleIndex: rule, Level: level, Message: message,
			Locations: []sarifLocation{{sarifPhysical{sarifPlace(d.Subject.Filename), sarifRegionOf(*d.Subject, files)}}}})
	}
	run.Invocations = []sarifInvocation{inv}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(sarifLog{sarifSchema, "2.1.0", []sarifRun{run}}); err != nil {
		return fmt.Errorf("diagnostics: %w", err)
	}
	return nil
}

// RuleID makes a summary such as "Unknown reference" the stable name of the
// mistake: "unknown-reference".
func RuleID(summary string) string {
	words := strings.FieldsFunc(strings.ToLower(summary), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return strings.Join(words, "-")
}

func sarifPlace(filename string) sarifArtifact {
	name := filepath.ToSlash(filename)
	if filepath.IsAbs(filename) {
		if !strings.HasPrefix(name, "/") { // a drive's letter
			name = "/" + name
		}
		return sarifArtifact{URI: (&url.URL{Scheme: "file", Path: name}).String()}
	}
	return sarifArtifact{URI: (&url.URL{Path: path.Clean(name)}).String(), BaseID: sarifBase}
}

// sarifRegionOf counts columns in code points, where HCL counts grapheme
// clusters; without the source they are taken as they are.
func sarifRegionOf(r hcl.Range, files map[string]*hcl.File) sarifRegion {
	out := sarifRegion{StartLine: r.Start.Line, StartColumn: r.Start.Column, EndLine: r.End.Line, EndColumn: r.End.Column}
	f := files[r.Filename]
	if f == nil {
		return out
	}
	column := func(p hcl.Pos) int {
		at := clamp(p.Byte, f.Bytes)
		line := bytes.LastIndexByte(f.Bytes[:at], '\n') + 1
		return 1 + utf8.RuneCount(f.Bytes[line:at])
	}
	out.StartColumn, out.EndColumn = column(r.Start), column(r.End)
	if from, to := clamp(r.Start.Byte, f.Bytes), clamp(r.End.Byte, f.Bytes); from < to {
		out.Snippet = &sarifText{string(f.Bytes[from:to])}
	}
	return out
}
