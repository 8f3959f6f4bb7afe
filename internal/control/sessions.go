package control

import (
	"strconv"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/pipeline"
)

// Sessions returns every live session of an engine that is not running, lcore
// by lcore.
func Sessions(e *pipeline.Engine) []Session {
	var out []Session
	snap := e.Policy()
	names := newNames(snap)
	e.EachSession(func(lcore int, s *conntrack.Session) bool {
		one := sessionOf(snap, names, s, e.Now())
		one.Lcore = lcore
		out = append(out, one)
		return true
	})
	return out
}

// ProtocolNumber returns the number of a protocol by the name that this package
// gives it.
func ProtocolNumber(name string) (uint8, bool) {
	if n, ok := protocols[name]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(name, 10, 8)
	return uint8(n), err == nil
}
