package simport

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/nitrod/nitrod/internal/packet"
)

// SequenceLen is the number of bytes at the end of a frame that Sequence writes
// and checks.
const SequenceLen = 8

// Sequence generates frames that are numbered per flow, as fast as they are
// polled, and checks where they come out that each flow kept its order.
//
// It takes one frame per flow. Each goes out again and again with its flow and
// its number in the last SequenceLen bytes of its payload, 24 bits of flow and
// 40 of number, under a right checksum. What the pipeline rewrites before them
// does not matter.
//
// Thread-safety: each source belongs to the lcore that polls it; flows are
// shared out among the sources. A sink may run on any lcore, several at once:
// that two lcores send packets of one flow is no fault in itself.
//
// Limits: 1<<24 flows; frames in which the payload is followed by no padding.
type Sequence struct {
	flows []seqFlow
	next  []atomic.Uint64 // number that is expected next, per flow

	received, lost, reordered, foreign atomic.Uint64
}

type seqFlow struct {
	frame []byte
	sumAt int    // where the transport checksum lies, 0 where there is none
	sum   uint16 // sum over what it covers, with the last bytes zero
	sent  uint64 // written by the source that has the flow
}

// NewSequence prepares frames, one per flow, of which the last SequenceLen
// bytes are payload of UDP or TCP. It panics on any other: they are the test's.
func NewSequence(frames [][]byte) *Sequence {
	s := &Sequence{flows: make([]seqFlow, len(frames)), next: make([]atomic.Uint64, len(frames))}
	for i, f := range frames {
		s.flows[i] = newSeqFlow(f)
	}
	return s
}

func newSeqFlow(frame []byte) seqFlow {
	l, err := packet.Locate(frame)
	var header, sumAt int
	switch l.Proto {
	case packet.ProtoUDP:
		header, sumAt = packet.UDPLen, 6
	case packet.ProtoTCP:
		header, sumAt = packet.TCPMinLen, 16
	}
	at := len(frame) - SequenceLen
	if err != nil || l.Fragment || l.L4 == 0 || header == 0 || l.End != len(frame) || at < l.L4+header || (at-l.L4)%2 != 0 {
		panic(fmt.Sprintf("simport: no place for a sequence number at an even offset in %s", packet.Summary(frame)))
	}
	f := seqFlow{frame: append([]byte(nil), frame...)}
	if l.Proto == packet.ProtoTCP || binary.BigEndian.Uint16(frame[l.L4+sumAt:]) != 0 {
		old := packet.Sum(f.frame[at:])
		f.sumAt = l.L4 + sumAt
		// Equation 3 of RFC 1624, with zeros for the new bytes.
		f.sum = packet.Add(^binary.BigEndian.Uint16(f.frame[f.sumAt:]), ^old)
	}
	clear(f.frame[at:])
	return f
}

// Source returns the source number part of parts, which generates the flows
// whose index is part modulo parts, in turn.
func (s *Sequence) Source(part, parts int) Source {
	return s.SourceN(part, parts, ^uint64(0))
}

// SourceN is Source for at most n frames.
func (s *Sequence) SourceN(part, parts int, n uint64) Source {
	at := part
	return func(buf []byte) int {
		if n == 0 || at >= len(s.flows) {
			return 0
		}
		n--
		size := s.flows[at].write(buf, uint64(at))
		if at += parts; at >= len(s.flows) {
			at = part
		}
		return size
	}
}

func (f *seqFlow) write(buf []byte, flow uint64) int {
	if len(buf) < len(f.frame) {
		panic(fmt.Sprintf("simport: frame of %d bytes for slots of %d", len(f.frame), len(buf)))
	}
	size := copy(buf, f.frame)
	mark := buf[size-SequenceLen : size]
	binary.BigEndian.PutUint64(mark, flow<<40|f.sent)
	f.sent++
	if f.sumAt != 0 {
		// 0 would mean none to UDP, and is 0xffff to TCP's receivers as well.
		c := ^packet.Add(f.sum, packet.Sum(mark))
		if c == 0 {
			c = 0xffff
		}
		binary.BigEndian.PutUint16(buf[f.sumAt:], c)
	}
	return size
}

// Sink checks one frame; it is a Sink.
func (s *Sequence) Sink(frame []byte) {
	s.received.Add(1)
	if len(frame) < SequenceLen {
		s.foreign.Add(1)
		return
	}
	v := binary.BigEndian.Uint64(frame[len(frame)-SequenceLen:])
	flow, number := v>>40, v&(1<<40-1)
	if flow >= uint64(len(s.next)) {
		s.foreign.Add(1)
		return
	}
	switch want := s.next[flow].Swap(number + 1); {
	case number < want:
		s.reordered.Add(1)
	case number > want:
		s.lost.Add(number - want)
	}
}

// SequenceResult is what a Sequence has seen so far.
type SequenceResult struct {
	Sent      uint64 // by all sources; exact when they rest
	Received  uint64
	Lost      uint64 // numbers that were skipped
	Reordered uint64 // frames that came after a later one of their flow, or twice
	Foreign   uint64 // frames that carry no number of this sequence
}

// Result returns the counts. The sources must rest.
func (s *Sequence) Result() SequenceResult {
	r := SequenceResult{
		Received:  s.received.Load(),
		Lost:      s.lost.Load(),
		Reordered: s.reordered.Load(),
		Foreign:   s.foreign.Load(),
	}
	for i := range s.flows {
		r.Sent += s.flows[i].sent
	}
	return r
}
