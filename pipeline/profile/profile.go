// Package profile finds the flows that carry most of an lcore's traffic, in
// bounded memory and at next to no cost for the others.
//
// Of each round one packet at the most is looked at. Which one, and whether any,
// is drawn at random with chances that depend on the size of the burst alone, and
// the packet stands for as many as that chance says: so what is counted of a flow
// is right in the mean, whatever the traffic and however it is timed. While bursts
// are small every packet is looked at; the fuller they are, and the dearer each
// nanosecond, the fewer.
//
// What was looked at goes into a table of a fixed number of flows (table.go), and
// at the end of each window, a second, the table is published and begun anew.
package profile

import "github.com/nitrod/nitrod/hash"

// WindowLength is how long one window lasts, in nanoseconds: the table is
// published when it is over.
const WindowLength = 1_000_000_000

// MaxBurst is the largest burst that Pick can choose from.
const MaxBurst = 64

// Recorder counts one lcore's flows.
//
// Thread-safety: one owner, the lcore; Read may be called by any goroutine.
//
// Limits: Flows flows. A flow that has more than a share of 1/Flows of what the
// lcore carries in a window, by the measure of Packet.load, is among those
// published, as far as the packets that were looked at can tell.
type Recorder struct {
	random  uint64 // state of the generator
	window  Totals // of the one that is under way
	typical uint64 // mean length of the packets of the last window, bytes
	table   table
	shown   published
}

// Totals are what was counted in one window: estimates, from the packets that were
// looked at.
type Totals struct {
	Start, End int64 // ns of the lcore's clock
	Packets    uint64
	Bytes      uint64 // of frames
	Looked     uint64 // packets that were looked at
}

// Window is what was counted in one window, and its flows, in no order.
type Window struct {
	Totals
	N     int
	Flows [Flows]Flow
}

// Flow is one direction of a flow in a Window.
type Flow struct {
	Key     hash.FlowKey
	Packets uint64 // since it came into the table: never more than an estimate of all gives
	Bytes   uint64
	Load    uint64 // no less than its load in the whole window
	Over    uint64 // by how much Load may be too high
	Place
}

// Place says what became of the last packet of a flow that was looked at.
type Place struct {
	Egress  uint16 // ENI
	Queue   uint8  // receive queue of Egress
	Dropped bool
}

// NewRecorder returns a Recorder that draws from a seed, which should come from
// hash.RandomSeed so that nobody can keep out of what is looked at.
func NewRecorder(seed uint64) *Recorder { return &Recorder{random: seed, typical: 512} }

// stride returns for how many packets the one stands that is looked at in a burst
// of n: n, times how many such bursts go by for one that is looked at. Those are 1
// for up to 3 packets, then 2, 4, 8, and 16 for a burst of 32.
func stride(n int) uint32 {
	every := uint32(1)
	for size := n; size >= 4; size >>= 1 {
		every <<= 1
	}
	return uint32(n) * every
}

var strides = func() (t [MaxBurst + 1]uint32) {
	for n := range t {
		t[n] = stride(n)
	}
	return t
}()

// Pick returns which packet of a burst of n is to be looked at, and for how many it
// stands; 0 if it is none.
func (r *Recorder) Pick(n int) (i int, weight uint32) {
	const multiplier, increment = 6364136223846793005, 1442695040888963407 // Knuth's, MMIX
	r.random = r.random*multiplier + increment
	s := strides[n]
	if at := r.random >> 32 * uint64(s) >> 32; at < uint64(n) {
		return int(at), s
	}
	return 0, 0
}

// Packet is one that is looked at.
type Packet struct {
	Key    *hash.FlowKey
	Length uint32 // of the frame
	Weight uint32 // for how many packets it stands
	Place
}

// load is by what flows are ordered: their bytes, and as many again if their
// packets are of the mean length of the window before. So a flow that has a share
// of the packets, or of the bytes, has at least half of that of the load, in steady
// traffic.
func (p *Packet) load(typical uint64) uint64 {
	return uint64(p.Weight) * (uint64(p.Length) + typical)
}

// Note counts a packet.
func (r *Recorder) Note(p *Packet) {
	w := &r.window
	w.Looked++
	w.Packets += uint64(p.Weight)
	w.Bytes += uint64(p.Weight) * uint64(p.Length)
	r.table.add(p, p.load(r.typical))
}

// Tick publishes the window if it is over at time now, and begins another one.
func (r *Recorder) Tick(now int64) {
	w := &r.window
	if w.Start == 0 {
		w.Start = now
	}
	if now-w.Start < WindowLength {
		return
	}
	w.End = now
	r.shown.publish(w, &r.table)
	if w.Packets != 0 {
		r.typical = w.Bytes / w.Packets
	}
	r.window = Totals{Start: now}
	r.table.n = 0
}

// Read copies the last whole window to w and reports whether there is one. It does
// not wait for the lcore, and tries again when the lcore publishes meanwhile.
func (r *Recorder) Read(w *Window) bool { return r.shown.read(w) }
