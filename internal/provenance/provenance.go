// Package provenance states what a run made and of what, as an in-toto
// statement with a SLSA provenance predicate: its subjects are the files that
// the run wrote, or found to be right, and every tensor in them, each under the
// SHA-256 of its bytes. Anybody can check a subject with the file and a hash
// function alone.
//
// Sources: https://github.com/in-toto/attestation/tree/main/spec/v1 and
// https://slsa.dev/spec/v1.0/provenance. The statement is not signed; tools
// such as cosign wrap it in an envelope.
package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/compressc/compressc/internal/artifact"
	"github.com/compressc/compressc/internal/format/gguf"
	"github.com/compressc/compressc/internal/format/safetensors"
	"github.com/compressc/compressc/internal/mmap"
	"github.com/compressc/compressc/internal/record"
	"github.com/compressc/compressc/internal/spell"
)

const (
	// BuildType says how externalParameters and resolvedDependencies are to be
	// read: a pipeline's text and variables, and the digests of its sources.
	BuildType = "https://github.com/compressc/compressc/docs/provenance@v1"
	// Builder is who states it.
	Builder = "https://github.com/compressc/compressc"
	// Predicate is the type of the statement's predicate.
	Predicate = "https://slsa.dev/provenance/v1"
	// TreeDigest is the name of the digests of models and data: the SHA-256 of
	// the canonical list of their tensors' names, types, shapes and SHA-256.
	TreeDigest = "compresscTreeSha256"
)

// Program is what ran.
type Program struct{ Version, Revision, Numerics string }

// ErrChanged is wrapped where a file is not what the run left.
var ErrChanged = errors.New("the file is not what the run wrote")

// Statement returns the statement about a run as indented JSON. It reads the
// exported files and fails if one is gone or has changed since.
func Statement(rec *record.Record, p Program) ([]byte, error) {
	subjects, err := subjects(rec)
	if err != nil {
		return nil, err
	}
	if len(subjects) == 0 {
		return nil, fmt.Errorf("run %s exported no file, so that there is nothing to state the origin of; an export block writes files", rec.ID)
	}
	predicate, err := predicate(rec, p)
	if err != nil {
		return nil, err
	}
	s := &intoto.Statement{Type: intoto.StatementTypeUri, Subject: subjects, PredicateType: Predicate, Predicate: predicate}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("the statement is not a valid one: %w", err)
	}
	raw, err := protojson.Marshal(s)
	if err != nil {
		return nil, err
	}
	return normalise(raw)
}

// normalise sorts the keys and sets the blanks, which protojson varies on purpose,
// so that equal statements are equal bytes.
func normalise(raw []byte) ([]byte, error) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// subjects lists the exported files and their tensors.
func subjects(rec *record.Record) ([]*intoto.ResourceDescriptor, error) {
	var out []*intoto.ResourceDescriptor
	for _, e := range rec.Exports {
		for _, f := range e.Files {
			path := f.Path
			if !filepath.IsAbs(path) {
				path = filepath.Join(rec.Folder, path)
			}
			list, err := fileSubjects(path, subjectName(rec, path), f)
			if err != nil {
				return nil, fmt.Errorf("%s of %s: %w", f.Path, spell.Address(e.Name, e.Point), err)
			}
			out = append(out, list...)
		}
	}
	return out, nil
}

// subjectName is a file's path from the pipeline's folder, where it lies
// inside.
func subjectName(rec *record.Record, path string) string {
	dir := rec.Pipeline
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		dir = filepath.Dir(dir)
	}
	if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel)
	}
	return filepath.Base(path)
}

// fileSubjects is one file and, of a container, each tensor as FILE#TENSOR.
func fileSubjects(path, name string, f record.File) ([]*intoto.ResourceDescriptor, error) {
	m, err := mmap.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the file is gone; run the pipeline again: %w", err)
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	data := m.Bytes()
	if got := artifact.Sum(data); string(got) != f.Digest {
		return nil, fmt.Errorf("%w: its SHA-256 is %s, and was %s; run the pipeline again", ErrChanged, got, f.Digest)
	}
	out := []*intoto.ResourceDescriptor{{Name: name, Digest: map[string]string{"sha256": f.Digest}}}
	add := func(tensor string, b []byte) {
		out = append(out, &intoto.ResourceDescriptor{Name: name + "#" + tensor, Digest: map[string]string{"sha256": string(artifact.Sum(b))}})
	}
	switch strings.ToLower(filepath.Ext(path)) {
	case ".safetensors":
		file, err := safetensors.Parse(path, data)
		if err != nil {
			return nil, err
		}
		for _, t := range file.Tensors() {
			add(t.Name, t.Bytes())
		}
	case ".gguf":
		file, err := gguf.Parse(path, data)
		if err != nil {
			return nil, err
		}
		for _, t := range file.Tensors() {
			add(t.Name, t.Bytes())
		}
	}
	return out, nil
}

// predicate says how the subjects came about.
func predicate(rec *record.Record, p Program) (*structpb.Struct, error) {
	external := map[string]any{"pipeline": filepath.Base(rec.Pipeline)}
	if len(rec.Variables) > 0 {
		vars, err := plain(rec.Variables)
		if err != nil {
			return nil, err
		}
		external["variables"] = vars
	}
	var deps []*intoto.ResourceDescriptor
	for _, f := range rec.Text {
		deps = append(deps, &intoto.ResourceDescriptor{Name: filepath.Base(f.Path), Digest: map[string]string{"sha256": f.Digest}, MediaType: "text/plain"})
	}
	for _, n := range rec.Nodes {
		if n.Source == "" || n.Digest == "" {
			continue
		}
		note, err := structpb.NewStruct(map[string]any{"source": n.Source})
		if err != nil {
			return nil, err
		}
		deps = append(deps, &intoto.ResourceDescriptor{Name: spell.Address(n.Name, n.Point), Annotations: note, Digest: map[string]string{TreeDigest: n.Digest}})
	}
	var steps []*intoto.ResourceDescriptor
	for _, n := range rec.Nodes {
		if n.Source != "" || n.Digest == "" || n.Verb == "export" {
			continue
		}
		steps = append(steps, &intoto.ResourceDescriptor{Name: spell.Address(n.Name, n.Point), Digest: map[string]string{TreeDigest: n.Digest}})
	}
	ext, err := structpb.NewStruct(external)
	if err != nil {
		return nil, err
	}
	internal, err := structpb.NewStruct(map[string]any{"numerics": p.Numerics})
	if err != nil {
		return nil, err
	}
	version := map[string]string{"compressc": rec.Version}
	if p.Revision != "" && p.Version == rec.Version {
		version["revision"] = p.Revision
	}
	prov := &slsa.Provenance{
		BuildDefinition: &slsa.BuildDefinition{BuildType: BuildType, ExternalParameters: ext, InternalParameters: internal, ResolvedDependencies: deps},
		RunDetails: &slsa.RunDetails{
			Builder: &slsa.Builder{Id: Builder, Version: version},
			Metadata: &slsa.BuildMetadata{InvocationId: rec.ID, StartedOn: timestamppb.New(rec.Time),
				FinishedOn: timestamppb.New(rec.Time.Add(time.Duration(rec.Seconds * float64(time.Second))))},
			Byproducts: steps,
		},
	}
	if err := prov.Validate(); err != nil {
		return nil, fmt.Errorf("the predicate is not a valid one: %w", err)
	}
	raw, err := protojson.Marshal(prov)
	if err != nil {
		return nil, err
	}
	s := &structpb.Struct{}
	return s, protojson.Unmarshal(raw, s)
}

// plain turns values of any encoding into those of plain JSON.
func plain(v any) (any, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var out any
	return out, json.Unmarshal(raw, &out)
}
