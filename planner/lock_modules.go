package planner

import "github.com/compressc/compressc/lang/lock"

// Modules puts the pins of a pipeline's modules into the lock file. As for
// sources, entries of old that nothing names are dropped unless others is set.
func (l *Locking) Modules(used []lock.Module, old *lock.File, others bool) {
	for _, m := range used {
		l.File.Modules = append(l.File.Modules, m)
		if was := old.Module(m.Source); was == nil || *was != m {
			l.note(m.Source, was != nil)
		}
	}
	if old == nil {
		return
	}
	f := l.File
	f.Modules = carry(l, f.Modules, old.Modules, others, func(m lock.Module) (bool, string) { return f.Module(m.Source) != nil, m.Source })
}
