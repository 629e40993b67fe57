package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/renameio/v2/maybe"
	"github.com/spf13/cobra"

	"github.com/compressc/compressc/internal/didyoumean"
	"github.com/compressc/compressc/lang"
	"github.com/compressc/compressc/passes/all"
)

func (a *app) docsCmd() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use: "docs [flags] [VERB [METHOD]]", Short: "Explain a block: its arguments, defaults and an example",
		Long: `Prints what can stand in a block, as Markdown: the methods of a verb, and of a method
its arguments with their types, defaults and ranges, an example and the paper it comes
from. Without a name it lists all. "docs model" and "docs data text" explain the
sources, "docs gate" a block of the language itself. -write puts every page into a folder.`,
		Example: "  compressc docs\n  compressc docs prune\n  compressc docs quantize gptq",
		Args:    cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			b, err := newBook()
			if err != nil {
				return err
			}
			if dir != "" {
				if len(args) > 0 {
					return fmt.Errorf("-write writes all pages; leave out %s", strings.Join(args, " "))
				}
				return b.write(dir)
			}
			text, err := b.find(args)
			if err != nil {
				return err
			}
			_, err = a.Out.Write(text)
			return err
		},
	}
	c.Flags().StringVar(&dir, "write", "", "write every page into this `FOLDER`, a file a method")
	return c
}

// book is the reference of all blocks.
type book struct {
	pages []page
}

func newBook() (*book, error) {
	reg, err := lang.NewRegistry(all.Passes()...)
	if err != nil {
		return nil, err
	}
	b := &book{}
	forms := lang.Forms(reg)
	b.pages = append(b.pages, sourcePages(forms)...)
	for _, v := range lang.Verbs {
		for _, m := range reg.Methods(v.Name) {
			b.pages = append(b.pages, methodPage(v, m))
		}
	}
	b.pages = append(b.pages, formPages(forms)...)
	return b, nil
}

// find returns the text that the words name.
func (b *book) find(args []string) ([]byte, error) {
	if len(args) == 0 {
		return b.index(), nil
	}
	var found []page
	var types []string
	for _, p := range b.pages {
		if p.block == args[0] {
			found = append(found, p)
		}
		if !slices.Contains(types, p.block) {
			types = append(types, p.block)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there are no blocks of type %q.%s Types are %s", args[0], didyoumean.Hint(args[0], types), strings.Join(types, ", "))
	}
	if len(args) == 1 && len(found) > 1 {
		return b.verb(args[0], found), nil
	}
	if len(args) == 1 {
		return found[0].render(), nil
	}
	var methods []string
	for _, p := range found {
		if p.method == args[1] {
			return p.render(), nil
		}
		methods = append(methods, p.method)
	}
	return nil, fmt.Errorf("there is no %s %q.%s Known are %s", args[0], args[1], didyoumean.Hint(args[1], methods), strings.Join(methods, ", "))
}

// verb is the page of a verb: its methods in short.
func (b *book) verb(name string, pages []page) []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# %s\n\n", name)
	if v := lang.LookupVerb(name); v != nil {
		fmt.Fprintf(&w, "A block of type `%s` %s.\n\n", name, v.Doc)
	}
	for _, p := range pages {
		fmt.Fprintf(&w, "- `%s`: %s\n", p.title(), p.summary)
	}
	fmt.Fprintf(&w, "\n`compressc docs %s METHOD` explains one of them.\n", name)
	return w.Bytes()
}

// index lists all pages by type.
func (b *book) index() []byte {
	var w bytes.Buffer
	fmt.Fprintf(&w, "# Blocks\n\nWhat can stand in a pipeline, from the argument schemas of the program itself (`compressc docs`).\n")
	last := ""
	for _, p := range b.pages {
		if p.block != last {
			last = p.block
			fmt.Fprintf(&w, "\n## %s\n\n", p.block)
			if v := lang.LookupVerb(p.block); v != nil {
				fmt.Fprintf(&w, "A block of type `%s` %s.\n\n", p.block, v.Doc)
			}
		}
		fmt.Fprintf(&w, "- [`%s`](%s): %s\n", p.title(), p.file(), p.summary)
	}
	return w.Bytes()
}

// files are the pages by file name.
func (b *book) files() map[string][]byte {
	out := map[string][]byte{"README.md": b.index()}
	for _, p := range b.pages {
		out[p.file()] = p.render()
	}
	return out
}

// write brings a folder up to date: pages of methods that are gone are removed.
func (b *book) write(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	files := b.files()
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, keep := files[filepath.Base(path)]; !keep {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, text := range files {
		if err := maybe.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}
