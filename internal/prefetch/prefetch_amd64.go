package prefetch

// First asks for the first n lines of a list, at most Max.
//
//go:noescape
func First(l *Lines, n int)
