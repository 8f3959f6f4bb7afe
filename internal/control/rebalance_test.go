package control

import (
	"strings"
	"testing"
	"time"

	"github.com/nitrod/nitrod/internal/packet"
)

// A mode that is set is shown, and what was measured with it; what makes no sense
// is refused.
func TestRebalance(t *testing.T) {
	b := newBed(t)
	for _, c := range []struct {
		method, query, body string
		code                int
		says                string
	}{
		{"POST", "", `{"eni":"nobody","mode":"on"}`, 400, `no ENI \"nobody\"`},
		{"POST", "", `{"eni":"app","mode":"auto"}`, 400, `off, propose or on, not \"auto\"`},
		{"GET", "?eni=nobody", "", 400, "no ENI"},
		{"GET", "?eni=app", "", 200, `[{"eni":"app","mode":"off","state":"off","threshold":25,`},
		{"POST", "", `{"eni":"app","mode":"propose"}`, 200, ""},
		{"GET", "?eni=app", "", 200, `"mode":"propose","state":"measuring"`},
	} {
		code, says := b.ask(c.method, "/v1/queues/rebalance"+c.query, c.body)
		if code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%s %s %s: %d %s; want %d, %q", c.method, c.query, c.body, code, says, c.code, c.says)
		}
	}
	start := time.Unix(1000, 0)
	b.host.balancer.Tick(start)
	b.carry("web", b.tcp("web", 1, 80, packet.TCPSyn))
	b.host.balancer.Tick(start.Add(time.Second))
	var got []Rebalance
	b.get("/v1/queues/rebalance", &got)
	if len(got) != 4 {
		t.Fatalf("%d ENIs: %+v", len(got), got)
	}
	for _, r := range got {
		if r.ENI != "app" {
			if r.Mode != "off" || len(r.Queues) != 0 {
				t.Errorf("ENI %s: %+v", r.ENI, r)
			}
			continue
		}
		if r.State != "even" || len(r.Queues) != 1 || r.Queues[0] != 1 || r.Excess != 0 || r.IntervalNS != int64(time.Second) || r.Changes != 0 || r.LastChangedNS != 0 {
			t.Errorf("app: %+v", r)
		}
	}
}
