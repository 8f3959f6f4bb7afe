//go:build race

package conntrack

// The race detector makes reads a hundred times slower, and needs few.
const wantedReads = 2000

const raceEnabled = true
