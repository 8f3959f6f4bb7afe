package control

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask sends a request to the bed's server.
func (b *bed) ask(method, path, body string) (code int, answer string) {
	w := httptest.NewRecorder()
	b.server.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

// What is set is shown, explain goes by it, and what makes no sense is refused
// with the error number that ENA gives, and changes nothing.
func TestQueueRules(t *testing.T) {
	b := newBed(t)
	const key = "77:d1:c9:34:a4:c9:bd:87:6e:35:dd:17:b2:e3:23:9e:39:6d:8a:93:2a:95:b4:72:3a:b3:7f:56:8e:de:b6:01:97:af:3b:2f:3a:70:e7:04"
	for _, c := range []struct {
		method, path, body string
		code               int
		says               string
	}{
		{"POST", "rss", `{"eni":"nobody"}`, 400, "no ENI"},
		{"POST", "rss", `{"eni":"app","function":"md5"}`, 400, "neither toeplitz nor crc32"},
		{"POST", "rss", `{"eni":"app","mode":"odd"}`, 400, "none of standard"},
		{"POST", "rss", `{"eni":"app","key":"00"}`, 400, "40 bytes"},
		{"POST", "rss", `{"eni":"app","size":3}`, 400, "power of two"},
		{"POST", "rss", `{"eni":"app","equal":1,"weights":[1]}`, 400, "one of equal"},
		{"POST", "rss", `{"eni":"app","equal":2}`, 409, "no such receive queue (EINVAL)"},
		{"POST", "rss", `{"eni":"app","mode":"ena_linux","size":64,"key":"` + key + `"}`, 200, ""},
		{"GET", "rss?eni=app", "", 200, `"key":"` + key + `","mode":"ena_linux"`},
		{"POST", "rss", `{"eni":"app","function":"crc32"}`, 409, "(EBUSY)"},
		{"POST", "steer", `{"eni":"web","queue":0,"type":"udp4"}`, 409, "must be given (EOPNOTSUPP)"},
		{"POST", "steer", `{"eni":"web","location":0,"type":"sctp4"}`, 409, "(EOPNOTSUPP)"},
		{"POST", "steer", `{"eni":"web","location":0,"type":"ip4","src":"::1"}`, 400, "family"},
		{"POST", "steer", `{"eni":"web","location":0,"type":"ip4","dst_mask":"255.0.0.0"}`, 400, "of no address"},
		{"POST", "steer", `{"eni":"web","location":1,"type":"ip4"}`, 409, "beyond the table (EINVAL)"},
		{"POST", "steer", `{"eni":"web","location":0,"queue":1,"type":"ip4"}`, 409, "no such receive queue (EINVAL)"},
		{"DELETE", "steer?eni=web&location=0", "", 409, "no rule at the steering index (EINVAL)"},
		{"GET", "rss?eni=app&tuple=tcp,10.0.1.10:1", "", 400, "no protocol, source and destination"},
		{"GET", "rss?eni=app&tuple=gre,10.0.1.10,10.0.2.10", "", 400, "nor a number"},
		{"GET", "rss?eni=app&tuple=tcp,10.0.1.10,10.0.2.10:80", "", 400, "no address as protocol tcp has them"},
		{"GET", "rss?eni=app&tuple=47,10.0.1.10,2001:db8::1", "", 400, "not of one family"},
		{"GET", "rss?eni=app&tuple=47,10.0.1.10,10.0.2.10&tos=256", "", 400, "no byte"},
		{"GET", "rss?eni=app&tuple=47,10.0.1.10,10.0.2.10&fragment=maybe", "", 400, "neither true nor false"},
		{"GET", "rss?eni=app&tuple=47,10.0.1.10,10.0.2.10", "", 200, `"packet":{"queue":0,"why":"Toeplitz of addresses is`},
		{"GET", "rss?eni=app&tuple=udp,[2001:db8::1]:1,[2001:db8::2]:2", "", 200, "Toeplitz of addresses and ports is"},
		{"GET", "rss?eni=app&tuple=udp,[2001:db8::1]:1,[2001:db8::2]:2&fragment=true&tos=0x20", "", 200, "Toeplitz of addresses is"},
		{"POST", "steer", `{"eni":"web","location":0,"type":"tcp4","src":"10.0.2.0","src_mask":"255.255.255.1","dst_port":80,"dst_port_mask":255}`, 200, ""},
		{"GET", "steer?eni=web", "", 200, `"src":"10.0.2.0","src_mask":"255.255.255.1","dst_port":80,"dst_port_mask":255`},
	} {
		code, says := b.ask(c.method, "/v1/queues/"+c.path, c.body)
		if code != c.code || !strings.Contains(says, c.says) {
			t.Errorf("%s %s %s: %d %s; want %d, %q", c.method, c.path, c.body, code, says, c.code, c.says)
		}
	}
	for range 100 {
		b.engine.Settle()
	}
	if code, says := b.ask("POST", "/v1/queues/steer", `{"eni":"web","location":0,"type":"ip4"}`); code != http.StatusConflict || !strings.Contains(says, "in use (EINVAL)") {
		t.Errorf("a location that is taken: %d %s", code, says)
	}
	if code, says := b.ask("DELETE", "/v1/queues/steer?eni=web&location=0", ""); code != 200 {
		t.Errorf("removal: %d %s", code, says)
	}
	if code, says := b.ask("POST", "/v1/queues/steer", `{"eni":"app","location":0,"type":"tcp4","dst_port":80,"dst_port_mask":65535}`); code != 200 {
		t.Errorf("a rule for app: %d %s", code, says)
	}
	x := b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80})
	if !strings.HasPrefix(x.QueueWhy, "by the steering rule at location 0; a change is under way") {
		t.Errorf("the queue is chosen %q", x.QueueWhy)
	}
	for range 100 {
		b.engine.Settle()
	}
	if x = b.explained(ExplainRequest{SrcPort: 1000, DstPort: 80}); x.QueueWhy != "by the steering rule at location 0" {
		t.Errorf("the queue is chosen %q", x.QueueWhy)
	}
}
