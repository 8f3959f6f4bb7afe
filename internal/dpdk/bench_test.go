package dpdk

import (
	"fmt"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
)

// What one crossing costs, and what a packet costs on top.

func benchIO(b *testing.B, device string, queues int) (*Port, *IO) {
	pool := testPool(b, PoolConfig{Count: 8191, Cache: 256})
	p := mustOpen(b, PortConfig{Device: device, Pool: pool, RxQueues: queues})
	return p, mustIO(b, pool, p)
}

// onLcore runs the benchmark on a registered lcore, with its mempool cache.
func onLcore(b *testing.B, f func()) {
	l, err := RegisterLcore(processCPUs(b)[0])
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	f()
	b.StopTimer()
	if err := l.Unregister(); err != nil {
		b.Error(err)
	}
}

func BenchmarkRxEmpty(b *testing.B) {
	needEAL(b)
	for _, queues := range []int{1, 16, 1000} {
		b.Run(fmt.Sprintf("queues=%d", queues), func(b *testing.B) {
			_, io := benchIO(b, uniqueName("net_null")+",no-rx=1", queues)
			descs := make([]pktio.Desc, pktio.MaxBurst)
			for range idleAfter + 1 {
				io.Rx(descs)
			}
			onLcore(b, func() {
				for range b.N {
					io.Rx(descs)
				}
			})
		})
	}
}

func BenchmarkRxEmptyTap(b *testing.B) {
	needTap(b)
	ns := testNetns(b)
	pool := smallPool(b)
	tap := mustTap(b, TapConfig{Name: "eth0", Netns: ns, MAC: guestMAC, Pool: pool})
	io := mustIO(b, pool, tap.Port)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	onLcore(b, func() {
		for range b.N {
			free(descs[:io.Rx(descs)]...)
		}
	})
}

func BenchmarkTxEmpty(b *testing.B) {
	needEAL(b)
	_, io := benchIO(b, uniqueName("net_null"), 1)
	f := new(pktio.Flush)
	onLcore(b, func() {
		for range b.N {
			io.Tx(f)
		}
	})
}

func BenchmarkRxTxBurst(b *testing.B) {
	needEAL(b)
	p, io := benchIO(b, uniqueName("net_null"), 1)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	bufs := newOffHeap(b, pktio.MaxBurst)
	f := &pktio.Flush{Runs: make([]pktio.TxRun, 1)}
	packets := 0
	onLcore(b, func() {
		for range b.N {
			n := io.Rx(descs)
			for i, d := range descs[:n] {
				bufs[i] = d.Buf
			}
			f.Runs[0] = pktio.TxRun{Bufs: addressOf(bufs), Port: p.ID(), N: uint16(n)}
			io.Tx(f)
			packets += n
		}
	})
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}

func BenchmarkRxFreeBurst(b *testing.B) {
	needEAL(b)
	_, io := benchIO(b, uniqueName("net_null"), 1)
	descs := make([]pktio.Desc, pktio.MaxBurst)
	f := &pktio.Flush{Frees: make([]uint64, 0, pktio.MaxBurst)}
	onLcore(b, func() {
		for range b.N {
			n := io.Rx(descs)
			f.Frees = f.Frees[:0]
			for _, d := range descs[:n] {
				f.Frees = append(f.Frees, d.Buf)
			}
			io.Tx(f)
		}
	})
}
