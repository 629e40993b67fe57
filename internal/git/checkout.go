package git

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Checkout writes the files of a commit of the repository that top is in into
// the folder dir, which is there and empty.
func Checkout(top, commit, dir string) error {
	cmd := command(top, "archive", "--format=tar", commit)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("this needs the program git: %w", err)
	}
	err = untar(pipe, dir)
	_, _ = io.Copy(io.Discard, pipe) // so that git ends
	if werr := cmd.Wait(); werr != nil && err == nil {
		err = fmt.Errorf("git archive: %s", strings.TrimSpace(errs.String()))
	}
	return err
}

func untar(in io.Reader, dir string) error {
	r := tar.NewReader(in)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := filepath.FromSlash(h.Name)
		if !filepath.IsLocal(name) {
			continue
		}
		path := filepath.Join(dir, name)
		if h.Typeflag == tar.TypeDir {
			if err := os.MkdirAll(path, 0o777); err != nil {
				return err
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeSymlink:
			if !linksInside(name, h.Linkname) {
				continue
			}
			if err := os.Symlink(h.Linkname, path); err != nil {
				return err
			}
		case tar.TypeReg:
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			_, err = io.Copy(f, r)
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
		}
	}
}

// linksInside reports whether a link stays in the folder that name is relative
// to: one that leads out of it would be read as if it were part of the
// repository. A target that goes up again behind a name is refused as well,
// since that name may be a link itself.
func linksInside(name, target string) bool {
	t := filepath.FromSlash(target)
	return !filepath.IsAbs(t) && filepath.Clean(t) == strings.TrimSuffix(t, string(filepath.Separator)) &&
		filepath.IsLocal(filepath.Join(filepath.Dir(name), t))
}
