package pipeline

import (
	"strconv"
	"testing"
	"time"

	"github.com/nitrod/nitrod/conntrack"
	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/internal/hugemem"
	"github.com/nitrod/nitrod/internal/packet"
	"github.com/nitrod/nitrod/internal/pktio"
)

// loopIO hands out the frames in its memory in turn and for ever, without
// copying them, and takes everything that is sent. What the pipeline rewrites in
// a frame is put right before it goes round again.
type loopIO struct {
	mem      []byte
	slot     int      // bytes of each frame's place
	size     int      // of a frame
	port     []uint16 // on which frames come, in turn
	ether    [][12]byte
	ttl      int // where it lies
	checksum int // where it lies, and at the end of the slot as it was; 0: none
	at, n    int
	taken    uint64
}

func (io *loopIO) Rx(descs []pktio.Desc) int {
	base := startOf(io.mem)
	for k := range descs {
		off := io.at * io.slot
		f := io.mem[off : off+io.slot]
		turn := io.at % len(io.port)
		*(*[12]byte)(f) = io.ether[turn]
		f[io.ttl] = 64
		if io.checksum != 0 {
			f[io.checksum], f[io.checksum+1] = f[io.slot-2], f[io.slot-1]
		}
		descs[k] = pktio.Desc{Buf: uint64(io.at) + 1, Data: base + uint64(off), Len: uint32(io.size), PktLen: uint32(io.size), Port: io.port[turn], Segs: 1}
		if io.at++; io.at == io.n {
			io.at = 0
		}
	}
	return len(descs)
}

func (io *loopIO) Tx(f *pktio.Flush) {
	for i := range f.Runs {
		f.Runs[i].Sent = f.Runs[i].N
		io.taken += uint64(f.Runs[i].N)
	}
}

func (io *loopIO) Alloc([]pktio.Desc) int          { return 0 }
func (io *loopIO) Read(uint64, uint32, []byte) int { return 0 }
func (io *loopIO) Wake()                           {}
func (io *loopIO) Interrupts() bool                { return false }
func (io *loopIO) Arm(bool)                        {}

func (io *loopIO) Idle(pktio.Rest, time.Duration) bool { return false }

// loop gives a bed's only worker frames that come from web, or from web and app
// in turn. frame(i) is frame i; all are equally long.
func (b *bed) loop(n int, both bool, frame func(i int) []byte) *loopIO {
	first := frame(0)
	io := &loopIO{slot: (len(first) + 2 + 63) &^ 63, size: len(first), n: n, ttl: 22, checksum: 24}
	if first[12] == 0x86 {
		io.ttl, io.checksum = 21, 0
	}
	senders := []string{"web"}
	if both {
		senders = append(senders, "app")
	}
	for i, id := range senders {
		io.port = append(io.port, b.ports[b.eni(id)].ID())
		io.ether = append(io.ether, [12]byte(frame(i)))
	}
	block, err := hugemem.Alloc[byte](n * io.slot)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = block.Free() })
	io.mem = block.Items
	for i := range n {
		f := frame(i)
		at := io.mem[i*io.slot : (i+1)*io.slot]
		copy(at, f)
		if io.checksum != 0 {
			copy(at[io.slot-2:], f[io.checksum:io.checksum+2])
		}
	}
	b.engine.workers[0].io = io
	return io
}

// BenchmarkRound is the time of one packet of an established flow, all stages,
// one lcore, from and to memory. It leaves out the devices.
func BenchmarkRound(b *testing.B) {
	for _, c := range []struct {
		name  string
		flows []int
		both  bool
		frame func(b *bed, flow int, back bool) []byte
	}{
		{"udp", []int{1, 1000, 100_000, 1_000_000}, false, func(b *bed, flow int, _ bool) []byte {
			return b.frame("web", b.ip("web", "app"), packet.UDP{SrcPort: uint16(flow), DstPort: uint16(1000 + flow>>16)}, packet.Fill(18))
		}},
		{"tcp", []int{1000, 100_000}, true, func(b *bed, flow int, back bool) []byte {
			tcp := packet.TCP{SrcPort: uint16(flow), DstPort: uint16(1000 + flow>>16), Flags: conntrack.ACK}
			if back {
				tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
				return b.frame("app", b.ip("app", "web"), tcp, packet.Fill(6))
			}
			return b.frame("web", b.ip("web", "app"), tcp, packet.Fill(6))
		}},
		{"udp6", []int{1000, 100_000}, false, func(b *bed, flow int, _ bool) []byte {
			return b.frame("web", b.ip6("web", "app"), packet.UDP{SrcPort: uint16(flow), DstPort: uint16(1000 + flow>>16)}, packet.Fill(18))
		}},
	} {
		for _, flows := range c.flows {
			b.Run(c.name+"/"+strconv.Itoa(flows), func(b *testing.B) {
				bed := benchBed(b, flows)
				frames := max(flows, 4096)
				if c.both {
					frames *= 2
				}
				bed.loop(frames, c.both, func(i int) []byte {
					if c.both {
						return c.frame(bed, i/2%flows, i%2 == 1)
					}
					return c.frame(bed, i%flows, false)
				})
				bed.run(b, frames)
			})
		}
	}
}

// BenchmarkNewFlow is the time of a packet that is the first of its flow: both
// halves judged, a session and a flow entry made.
func BenchmarkNewFlow(b *testing.B) {
	const flows = 1 << 20
	bed := benchBed(b, flows)
	bed.loop(flows, false, func(i int) []byte {
		return bed.frame("web", bed.ip("web", "app"), packet.UDP{SrcPort: uint16(i), DstPort: uint16(1000 + i>>16)}, packet.Fill(18))
	})
	w := bed.engine.workers[0]
	b.ReportAllocs()
	b.ResetTimer()
	for n, fresh := 0, 0; n < b.N; {
		if fresh >= flows {
			// All are known: an hour later they are new again.
			b.StopTimer()
			bed.clock.advance(time.Hour)
			w.sessions.Expire(bed.clock.Now(), int(w.sessions.High()))
			bed.forget()
			fresh = 0
			b.StartTimer()
		}
		got := w.Round()
		n, fresh = n+got, fresh+got
		bed.clock.ns += 5000
	}
	b.StopTimer()
	if s := bed.stats(); s.Dropped() != 0 {
		b.Fatalf("%d packets were dropped", s.Dropped())
	}
}

func benchBed(b *testing.B, flows int) *bed {
	o := openObjects()
	o.ENIs[2].Queues = 1
	return newBed(b, bedOptions{objects: o, slots: 64, config: func(c *Config) {
		c.SlowPathBudget, c.SlowPathQueue = 64, 4096
		c.Flows, c.Sessions = 2*max(flows, 2048), max(flows, 2048)*3/2
	}})
}

// run warms the tables up and measures.
func (b *bed) run(t *testing.B, frames int) {
	w := b.engine.workers[0]
	for n := 0; n < 2*frames; n += w.Round() {
		b.clock.ns += 1000
	}
	before := b.stats()
	t.ReportAllocs()
	t.ResetTimer()
	n := 0
	for n < t.N {
		n += w.Round()
		b.clock.ns += 1000
	}
	t.StopTimer()
	after := b.stats()
	if hits := after.FlowHits - before.FlowHits; hits*100 < uint64(n)*99 || after.Dropped() != 0 {
		t.Fatalf("%d hits in %d packets, %d drops", hits, n, after.Dropped())
	}
}

// BenchmarkParse is the parser's part of it.
func BenchmarkParse(b *testing.B) {
	for _, c := range parseCases {
		if c.want != drop.Unset || c.class != classFlow {
			continue
		}
		b.Run(c.name, func(b *testing.B) {
			var k hash.FlowKey
			var m Meta
			for b.Loop() {
				parseFrame(c.frame, uint32(len(c.frame)), parseENI, 7, &k, &m)
			}
		})
	}
}
