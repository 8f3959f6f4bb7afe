//go:build !amd64

package hash

// There is vector code for amd64 only; these let the rest be written once.
const (
	haveVector = false
	vectorKeys = 8
)

func (*Toeplitz) hashVector([]FlowKey, []uint32) {}

func (FlowHasher) hashVector([]FlowKey, []uint32, []uint64) {}
