package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/nitrod/nitrod/internal/config"
)

// example is the directory of the file that the program is shown with.
func example(t *testing.T) *directory {
	t.Helper()
	cfg, err := config.Load("../world.yaml", []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	d, resolver, err := newDirectory(&cfg.Objects)
	if err != nil || resolver != netip.MustParseAddr("10.0.0.2") {
		t.Fatalf("resolver %v: %v", resolver, err)
	}
	return d
}

// A token is for its guest and its time, and nothing is told without one.
func TestMetadata(t *testing.T) {
	m, err := newMetadata(example(t))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_000_000, 0)
	m.now = func() time.Time { return now }
	const guest, stranger = "10.0.1.10:40000", "10.0.1.99:40000"
	do := func(method, path, from, header, value string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.RemoteAddr = from
		if header != "" {
			r.Header.Set(header, value)
		}
		if header == "X-Forwarded-For" {
			r.Header.Set(ttlHeader, "60")
		}
		w := httptest.NewRecorder()
		m.handler().ServeHTTP(w, r)
		return w
	}
	const put, path = "/latest/api/token", "/latest/meta-data/"
	for _, ttl := range []string{"", "0", "21601", "-1", "x"} {
		if w := do("PUT", put, guest, ttlHeader, ttl); w.Code != http.StatusBadRequest {
			t.Errorf("a token for %q seconds: %d", ttl, w.Code)
		}
	}
	if w := do("PUT", put, guest, "X-Forwarded-For", "192.0.2.1"); w.Code != http.StatusForbidden {
		t.Errorf("by a proxy: %d", w.Code)
	}
	w := do("PUT", put, guest, ttlHeader, "60")
	token := w.Body.String()
	if w.Code != http.StatusOK || w.Header().Get(ttlHeader) != "60" {
		t.Fatalf("a token: %d %v", w.Code, w.Header())
	}
	for _, c := range []struct{ name, item, from, token, want string }{
		{"list", "", guest, token, "instance-id\nlocal-ipv4\nmac\npublic-ipv4"},
		{"instance", "instance-id", guest, token, "i-guest"},
		{"private", "local-ipv4", guest, token, "10.0.1.10"},
		{"public", "public-ipv4", guest, token, "198.51.100.10"},
		{"mac", "mac", guest, token, "02:00:00:00:01:0a"},
	} {
		if w := do("GET", path+c.item, c.from, tokenHeader, c.token); w.Code != http.StatusOK || w.Body.String() != c.want {
			t.Errorf("%s: %d %q", c.name, w.Code, w.Body)
		}
	}
	other := do("PUT", put, stranger, ttlHeader, "60").Body.String()
	forged := []byte(token)
	forged[0] ^= 1
	for _, c := range []struct {
		name, item, from, token string
		want                    int
	}{
		{"no token", "mac", guest, "", http.StatusUnauthorized},
		{"another's token", "mac", guest, other, http.StatusUnauthorized},
		{"a forged token", "mac", guest, string(forged), http.StatusUnauthorized},
		{"no such item", "nonsense", guest, token, http.StatusNotFound},
		{"no such guest", "mac", stranger, other, http.StatusNotFound},
	} {
		if w := do("GET", path+c.item, c.from, tokenHeader, c.token); w.Code != c.want {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.want)
		}
	}
	now = now.Add(time.Minute)
	if w := do("GET", path+"mac", guest, tokenHeader, token); w.Code != http.StatusUnauthorized {
		t.Errorf("after its end: %d", w.Code)
	}
}

func TestDNS(t *testing.T) {
	d := example(t)
	for _, c := range []struct {
		name    string
		typ     dnsmessage.Type
		rcode   dnsmessage.RCode
		answers int
	}{
		{"guest.internal.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"GUEST.Internal.", dnsmessage.TypeA, dnsmessage.RCodeSuccess, 1},
		{"guest.internal.", dnsmessage.TypeAAAA, dnsmessage.RCodeSuccess, 0},
		{"nobody.internal.", dnsmessage.TypeA, dnsmessage.RCodeNameError, 0},
		{"guest.example.", dnsmessage.TypeA, dnsmessage.RCodeRefused, 0},
	} {
		query := dnsmessage.Message{
			Header:    dnsmessage.Header{ID: 7, RecursionDesired: true},
			Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(c.name), Type: c.typ, Class: dnsmessage.ClassINET}},
		}
		packed, err := query.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var reply dnsmessage.Message
		if err := reply.Unpack(d.answer(packed)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if reply.ID != 7 || !reply.Response || reply.RCode != c.rcode || len(reply.Answers) != c.answers {
			t.Errorf("%s %v: %+v", c.name, c.typ, reply)
			continue
		}
		if c.answers == 1 && reply.Answers[0].Body.(*dnsmessage.AResource).A != [4]byte{10, 0, 1, 10} {
			t.Errorf("%s is %v", c.name, reply.Answers[0].Body)
		}
		// An answer is not answered, or two servers would talk for ever.
		answer, err := reply.Pack()
		if err != nil {
			t.Fatal(err)
		}
		if d.answer(answer) != nil {
			t.Errorf("%s: an answer was answered", c.name)
		}
	}
	if d.answer([]byte{1, 2, 3}) != nil {
		t.Error("what is no message was answered")
	}
}
