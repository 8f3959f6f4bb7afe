package control

import (
	"encoding/json"
	"testing"
)

// A prediction on the card's fixed key gives what AWS's tool gives for the same
// flow, whichever way it goes (docs/semantics.md S5.7).
func TestPredictionByAPublishedVector(t *testing.T) {
	b := newBed(t)
	if code, says := b.ask("POST", "/v1/queues/rss", `{"eni":"app","mode":"ena_fixed"}`); code != 200 {
		t.Fatal(says)
	}
	for _, tuple := range []string{"tcp,66.9.149.187:2794,161.142.100.80:1766", "udp,161.142.100.80:1766,66.9.149.187:2794"} {
		code, says := b.ask("GET", "/v1/queues/rss?eni=app&tuple="+tuple, "")
		var r RSS
		if err := json.Unmarshal([]byte(says), &r); err != nil || code != 200 {
			t.Fatalf("%d %s: %v", code, says, err)
		}
		const want = "Toeplitz of addresses and ports is 0x373c373c, entry 60 of 128 in the indirection table"
		if got := r.Packet.Why; got != want && got != want+"; a change is under way, and a flow goes by its old queue until that has sent its packets" {
			t.Errorf("%s: %s", tuple, got)
		}
	}
}
