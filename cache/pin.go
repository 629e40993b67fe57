package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Pin keeps actions and blobs from gc until somebody takes it away.
type Pin struct {
	Name string    `json:"name"` // no path in it
	What string    `json:"what"` // for people
	Time time.Time `json:"time"`
	// Roots are keys of actions, or digests of blobs.
	Roots []Digest `json:"roots"`
}

const (
	kindPin   = "pin"
	dirPins   = "pins"
	pinSuffix = ".json"
)

// Pin sets a pin, in place of one of the same name. A zero Time becomes now.
func (s *Store) Pin(p Pin) error {
	if err := checkPinName(p.Name); err != nil {
		return err
	}
	if p.Time.IsZero() {
		p.Time = s.now().UTC()
	}
	slices.Sort(p.Roots)
	p.Roots = slices.Compact(p.Roots)
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("cache: pin %s: %w", p.Name, err)
	}
	if _, err := parsePin(seal(kindPin, body)); err != nil {
		return err
	}
	if err := s.Lease(p.Roots...); err != nil {
		return err
	}
	return s.writeRecord(s.pinPath(p.Name), seal(kindPin, body), "pin "+p.Name, replace)
}

// Unpin takes a pin away. The error has ErrNotFound in its chain if there is
// none of that name.
func (s *Store) Unpin(name string) error {
	if err := checkPinName(name); err != nil {
		return err
	}
	there, err := s.removeFile(s.pinPath(name))
	if err == nil && !there {
		err = fmt.Errorf("cache: pin %q: %w", name, ErrNotFound)
	}
	return err
}

// Pins lists the pins by name. A damaged one is an error: what it protects is
// not known, and must not go for that.
func (s *Store) Pins() ([]Pin, error) {
	var all []Pin
	for f, err := range s.files(dirPins) {
		if err != nil {
			return nil, err
		}
		data, err := os.ReadFile(f.path())
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var p Pin
		if err == nil {
			p, err = parsePin(data)
		}
		if err != nil {
			return nil, fmt.Errorf("cache: pin %s: %w; compressc cache check -repair drops it", strings.TrimSuffix(f.name, pinSuffix), err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (s *Store) pinPath(name string) string {
	return filepath.Join(s.dir, dirPins, name+pinSuffix)
}

func checkPinName(name string) error {
	if name == "" || strings.ContainsAny(name, `/\:`) || strings.HasPrefix(name, ".") || len(name) > 200 {
		return fmt.Errorf("cache: pin %.40q: a name has 1 to 200 characters, none of them / \\ or :, and does not begin with a dot", name)
	}
	return nil
}

func parsePin(data []byte) (Pin, error) {
	var p Pin
	body, err := unseal(kindPin, data)
	if err == nil {
		err = json.Unmarshal(body, &p)
	}
	if err == nil {
		err = checkPinName(p.Name)
	}
	if err != nil {
		return p, fmt.Errorf("pin record: %w", err)
	}
	for _, d := range p.Roots {
		if !d.Valid() {
			return p, fmt.Errorf("pin record: root %q is not a digest", string(d))
		}
	}
	return p, nil
}
