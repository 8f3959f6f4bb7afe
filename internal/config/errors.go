package config

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/nitrod/nitrod/policy"
)

// Errors is what Parse returns for a file at fault: every mistake, in the
// order of the file. It is the type that policy.Compile returns too, so that a
// caller prints both alike.
type Errors = policy.Errors

// errorf reports a mistake at pos.
func (d *decoder) errorf(pos policy.Pos, format string, args ...any) {
	d.errs = append(d.errs, &policy.Error{Pos: pos, Msg: fmt.Sprintf(format, args...)})
}

// sorted returns the errors by position, each once: a value that is reached
// through several aliases is wrong only once.
func sorted(errs Errors) Errors {
	seen := make(map[policy.Error]bool, len(errs))
	errs = slices.DeleteFunc(errs, func(e *policy.Error) bool {
		again := seen[*e]
		seen[*e] = true
		return again
	})
	slices.SortStableFunc(errs, func(a, b *policy.Error) int {
		return cmp.Or(a.Pos.Line-b.Pos.Line, a.Pos.Column-b.Pos.Column)
	})
	return errs
}
