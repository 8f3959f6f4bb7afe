package hash

import "testing"

// runner is *testing.T or *testing.B.
type runner[T any] interface {
	testing.TB
	Run(name string, f func(T)) bool
}

// eachPath runs f with portable code and, where the processor can, with vectors.
func eachPath[T runner[T]](t T, f func(T)) {
	had := haveVector
	defer func() { haveVector = had }()
	haveVector = false
	t.Run("portable", f)
	haveVector = had
	t.Run("vectors", func(t T) {
		if !had {
			t.Skip("this processor lacks one of AVX-512 F, BW, DQ, VL, VPCLMULQDQ, GFNI")
		}
		f(t)
	})
}
