//go:build !amd64

package hash

import "testing"

// runner is *testing.T or *testing.B.
type runner[T any] interface {
	testing.TB
	Run(name string, f func(T)) bool
}

// eachPath runs f with portable code, the only path on this architecture.
func eachPath[T runner[T]](t T, f func(T)) { t.Run("portable", f) }
