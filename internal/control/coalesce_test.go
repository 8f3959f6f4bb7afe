package control

import (
	"strings"
	"testing"

	"github.com/nitrod/nitrod/pipeline"
)

// What is set is in force and shown, what is not said stays, and what makes no sense
// changes nothing.
func TestCoalesce(t *testing.T) {
	b := newBed(t)
	want := pipeline.CoalesceConfig{}
	for _, c := range []struct {
		body string
		code int
		says string
		want *pipeline.CoalesceConfig // nil: as before
	}{
		{`{"tx_usecs":20}`, 200, `{"rx_usecs":0,"tx_usecs":20,"adaptive_rx":false}`, &pipeline.CoalesceConfig{TxUsecs: 20}},
		{`{"tx_usecs":-1}`, 400, "below zero", nil},
		{`{"tx_usecs":1001}`, 400, "longer than a millisecond", nil},
		{`{"tx_usecs":5,"rx_usecs":5000}`, 400, "longer than a millisecond", nil},
		{`{"rx_usecs":10}`, 400, "an lcore that spins", nil},
		{`{"adaptive_rx":true}`, 400, "an lcore that spins", nil},
		{`{"usecs":3}`, 400, "unknown field", nil},
		{`{"tx_usecs":"x"}`, 400, "cannot unmarshal", nil},
		{`{"tx_usecs":0}`, 200, `"tx_usecs":0`, &pipeline.CoalesceConfig{}},
	} {
		if c.want != nil {
			want = *c.want
		}
		code, says := b.ask("POST", "/v1/coalesce", c.body)
		if code != c.code || !strings.Contains(says, c.says) || strings.Contains(says, "pipeline:") {
			t.Errorf("%s: %d %s; want %d, %q", c.body, code, says, c.code, c.says)
		}
		if got := b.engine.Coalesce(); got != want {
			t.Errorf("after %s it is %+v, want %+v", c.body, got, want)
		}
	}
	if code, says := b.ask("GET", "/v1/coalesce", ""); code != 200 || !strings.Contains(says, `"adaptive_rx":false`) {
		t.Errorf("%d %s", code, says)
	}
}
