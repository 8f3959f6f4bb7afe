package policy

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// Each case makes one mistake about pacing and names the one error that must come of
// it.
func TestCompileRefusesPacing(t *testing.T) {
	good := Pacing{Rate: 1e9, FlowRate: 1e6, Packets: 64, FlowPackets: 64, Delay: time.Second}
	for _, tc := range []struct {
		edit func(*Pacing)
		want string
	}{
		{func(p *Pacing) { p.Rate, p.FlowRate = 63_999, 0 }, `ENI "web2": the pace of a queue is 63999 bits a second; it must be 0 for none, or from 64000 to 1000000000000`},
		{func(p *Pacing) { p.Rate, p.FlowRate = 0, 1e12+1 }, `the pace of a flow is 1000000000001 bits a second; it must be 0 for none, or from 64000 to 1000000000000`},
		{func(p *Pacing) { p.FlowRate = 1e9 + 1 }, `the pace of a flow, 1000000001 bits a second, is above that of a queue, 1000000000`},
		{func(p *Pacing) { p.Packets = 63 }, `63 packets of a queue may wait for their pace; it must be from 64 to 1048576`},
		{func(p *Pacing) { p.FlowPackets = 65 }, `65 packets of a flow may wait for their pace; it must be from 1 to the 64 of a queue`},
		{func(p *Pacing) { p.FlowPackets = 0 }, `0 packets of a flow may wait for their pace`},
		{func(p *Pacing) { p.Delay = 999 * time.Microsecond }, `packets may wait for their pace for 999µs; it must be from 1ms to 1s`},
	} {
		o := fixture()
		o.ENIs[4].Pacing = good
		if _, err := Compile(o, nil); err != nil {
			t.Fatal(err)
		}
		tc.edit(&o.ENIs[4].Pacing)
		_, err := Compile(o, nil)
		var all Errors
		if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(all[0].Error(), tc.want) {
			t.Errorf("got:\n%v\nwant:\n%s", err, tc.want)
		}
	}
}

// Pacing reaches the datapath, and a change of it judges no flow anew.
func TestPacingIsNoPolicy(t *testing.T) {
	o := fixture()
	before, err := Compile(o, nil)
	if err != nil {
		t.Fatal(err)
	}
	o.ENIs[1].Pacing = Pacing{Rate: 1e9, Packets: 64, FlowPackets: 1, Delay: time.Second}
	after, err := Compile(o, before)
	if err != nil {
		t.Fatal(err)
	}
	at, _ := after.ENIByID(o.ENIs[1].ID)
	if after.Limits[at].Pacing != o.ENIs[1].Pacing {
		t.Errorf("the pacing is %+v", after.Limits[at].Pacing)
	}
	for i := range after.ENIs {
		if after.ENIs[i].Gen != before.ENIs[i].Gen || after.ENIs[i].Flags != before.ENIs[i].Flags {
			t.Errorf("ENI %q is another one", after.ENI(uint16(i)).ID)
		}
	}
}
