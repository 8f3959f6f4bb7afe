package pipeline

import (
	"slices"
	"strings"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/internal/simport"
	"github.com/nitrod/nitrod/policy"
)

// What comes by the one queue of an ENI is worked by all lcores that have a share
// of the flows, in proportion, and by no other; both directions of a flow by the
// same. An lcore without a share still takes and gives packets.
func TestFlowShares(t *testing.T) {
	const flows = 400
	b := newBed(t, bedOptions{lcores: 4, objects: openObjects(), config: func(c *Config) {
		c.Shares = []uint32{0, 1, 3, 0}
	}, port: func(string) simport.PortConfig { return simport.PortConfig{RxDepth: 4096} }})
	for i := range uint16(flows) {
		b.inject("web", b.udp("web", "app", 1000+i, 80))
	}
	b.settle()
	for i := range uint16(flows) {
		b.inject("app", b.udp("app", "web", 80, 1000+i))
	}
	s := b.settle()
	b.wantDrops(s, nil)
	if n := len(b.received("app")) + len(b.received("web")); n != 2*flows {
		t.Errorf("%d packets came through, want %d", n, 2*flows)
	}
	if got := [4]int{b.engine.Shards(0), b.engine.Shards(1), b.engine.Shards(2), b.engine.Shards(3)}; got != [4]int{0, 128, 384, 0} {
		t.Errorf("the lcores own %v shards", got)
	}
	var worked [4]uint64
	for i := range worked {
		l := b.engine.Lcore(i)
		worked[i] = l.FlowHits + l.SlowPath
	}
	// Each flow is at one lcore or the other with 1 in 4; five standard deviations.
	if worked[0]+worked[3] != 0 || worked[1]+worked[2] != 2*flows || worked[1] < 2*(flows/4-44) || worked[1] > 2*(flows/4+44) {
		t.Errorf("the lcores worked %v packets", worked)
	}
	if b.engine.Lcore(0).Rx == 0 {
		t.Error("the lcore that polls web took nothing")
	}
}

// Receive queues are served by the lcores that a port names, in turn.
func TestServedBy(t *testing.T) {
	o := openObjects()
	o.ENIs[2].Queues = 5
	b := newBed(t, bedOptions{lcores: 4, objects: o, served: func(eni string) []uint16 {
		return map[string][]uint16{"app": {3, 1}}[eni]
	}})
	rings, _ := b.engine.Rings(b.eni("app"))
	var lcores []int
	for _, r := range rings {
		lcores = append(lcores, r.Lcore)
	}
	if want := []int{3, 1, 3, 1, 3}; !slices.Equal(lcores, want) {
		t.Errorf("app's queues are served by %v, want %v", lcores, want)
	}
	for i := range uint16(200) {
		b.inject("web", b.udp("web", "app", 1000+i, 80))
	}
	b.wantDrops(b.settle(), nil)
	if n := len(b.received("app")); n != 200 {
		t.Errorf("%d packets came to app", n)
	}
	if tx := b.engine.Lcore(1).Tx + b.engine.Lcore(3).Tx; tx != 200 {
		t.Errorf("lcores 1 and 3 sent %d packets", tx)
	}
}

func TestPlacesThatAreNone(t *testing.T) {
	snap, err := policy.Compile(defaultObjects(), nil)
	if err != nil {
		t.Fatal(err)
	}
	pool := simport.NewPool(1, simport.DefaultSlotSize)
	defer pool.Close()
	for _, tt := range []struct {
		shares []uint32
		served []uint16
		want   string
	}{
		{[]uint32{1, 1}, nil, "2 shares of the flows for 1 lcores"},
		{[]uint32{0}, nil, "no lcore has a share"},
		{nil, []uint16{0, 1}, "served by lcore 1"},
	} {
		cfg := Config{Burst: 1, SlowPathBudget: 1, SlowPathQueue: 1, Clock: &manualClock{}, Fragments: DefaultFragments, Shares: tt.shares}
		port := Port{Queues: 1, Depth: 2, Served: tt.served}
		if _, err := New(cfg, snap, []Port{port}, []pktio.IO{simport.NewIO(pool, nil)}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, %v: New said %v, want %q", tt.shares, tt.served, err, tt.want)
		}
	}
}
