//go:build !race

package conntrack

// wantedReads is how many copies of a session a test of readers looks at.
const wantedReads = 100_000

const raceEnabled = false
