package report

import (
	"math"
	"strings"
	"testing"
)

// A machine that halves its speed in the second round does not change what a
// feature costs of the rate.
func TestFeatures(t *testing.T) {
	f := Features{Case: "udp4", Flows: 1000}
	for _, round := range []struct{ without, with float64 }{{20, 16}, {10, 8}, {20, 18}} {
		f.Add("nothing", round.without, nil)
		f.Add("limits", round.with, []string{"nitrod dropped 1 of 2 packets"})
	}
	f.Finish()
	if len(f.Sets) != 2 || f.Sets[0].Mpps != 20 || f.Sets[0].Kept != nil || f.Sets[0].ExtraNS != nil {
		t.Fatalf("%+v", f)
	}
	s := f.Sets[1]
	// 62.5-50, 125-100 and 55.6-50 ns.
	if s.Mpps != 16 || s.Kept == nil || *s.Kept != 0.8 || math.Abs(*s.ExtraNS-12.5) > 1e-9 {
		t.Errorf("%+v", s)
	}
	var b strings.Builder
	if err := writeFeatures(&b, []Features{f, {Case: "udp4", Flows: 5, Missing: "no binary"}}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"limits   16.00    12.50                 0.80",
		"udp4 1000 with limits: nitrod dropped 1 of 2 packets\n",
		"udp4 5: not measured: no binary\n",
	} {
		if strings.Count(b.String(), line) != 1 {
			t.Errorf("not once %q in\n%s", line, b.String())
		}
	}
}

// A set that was measured in fewer rounds is compared in those alone.
func TestFeaturesOfAnInterruptedRun(t *testing.T) {
	var f Features
	f.Add("nothing", 20, nil)
	f.Add("limits", 15, nil)
	f.Add("nothing", 10, nil)
	f.Finish()
	if s := f.Sets[1]; s.Kept == nil || *s.Kept != 0.75 {
		t.Errorf("%+v", s)
	}
	f.Sets[0].Samples = nil
	f.Sets[1].Kept = nil
	f.Finish()
	if f.Sets[1].Kept != nil {
		t.Error("a set compares with nothing")
	}
}
