//go:build race

package hugemem

func alloc[T any](n, _ int) (*Block[T], error) {
	return &Block[T]{Items: make([]T, n), Kind: KindHeap}, nil
}

// Free gives the memory back. Items must not be used afterwards.
func (b *Block[T]) Free() error {
	b.Items, b.Kind = nil, KindNone
	return nil
}
