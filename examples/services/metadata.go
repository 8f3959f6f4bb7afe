package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/policy"
)

// The headers of IMDSv2, and the longest life of a token in seconds.
const (
	tokenHeader = "X-aws-ec2-metadata-token"
	ttlHeader   = "X-aws-ec2-metadata-token-ttl-seconds"
	longestTTL  = 21600
)

// metadata is an instance metadata service that wants a token (IMDSv2). A guest
// is known by the address from which it asks, which nitrod has checked.
type metadata struct {
	guests *directory
	// key signs tokens, so that none need be kept: a token is the time of its
	// end in Unix seconds and a MAC over that and the guest's address.
	key [32]byte
	now func() time.Time
}

func newMetadata(guests *directory) (*metadata, error) {
	m := &metadata{guests: guests, now: time.Now}
	_, err := rand.Read(m.key[:])
	return m, err
}

func (m *metadata) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", m.token)
	mux.HandleFunc("GET /latest/meta-data/{item...}", m.item)
	return mux
}

// token answers a PUT with a token for the guest that asks.
func (m *metadata) token(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Forwarded-For") != "" { // it came by a proxy, which may be open to the world
		http.Error(w, "Forbidden", http.StatusForbidden)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(ttlHeader))
	if err != nil || ttl < 1 || ttl > longestTTL {
		http.Error(w, "Bad Request", http.StatusBadRequest)
		return
	}
	w.Header().Set(ttlHeader, strconv.Itoa(ttl))
	io.WriteString(w, m.sign(m.now().Unix()+int64(ttl), asker(r)))
}

// item answers a GET with one item, or with the list of them.
func (m *metadata) item(w http.ResponseWriter, r *http.Request) {
	from := asker(r)
	if !m.valid(r.Header.Get(tokenHeader), from) {
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
		return
	}
	eni, ok := m.guests.byAddress[from]
	if !ok {
		http.NotFound(w, r)
		return
	}
	items := itemsOf(eni)
	name := r.PathValue("item")
	if name == "" {
		io.WriteString(w, strings.Join(slices.Sorted(maps.Keys(items)), "\n"))
		return
	}
	value, ok := items[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	io.WriteString(w, value)
}

// itemsOf is what the service knows of a guest, by the names that EC2 gives it.
func itemsOf(e *policy.ENI) map[string]string {
	items := map[string]string{"instance-id": e.Instance, "mac": net.HardwareAddr(e.MAC[:]).String()}
	for _, a := range e.Addresses {
		if a.Is4() {
			items["local-ipv4"] = a.String()
			break
		}
	}
	for _, p := range e.Public {
		if p.Private.String() == items["local-ipv4"] {
			items["public-ipv4"] = p.Public.String()
		}
	}
	return items
}

// asker is the address from which a request came.
func asker(r *http.Request) netip.Addr {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // nobody's
	}
	return from.Addr().Unmap()
}

func (m *metadata) sign(end int64, guest netip.Addr) string {
	signed := binary.BigEndian.AppendUint64(nil, uint64(end))
	mac := hmac.New(sha256.New, m.key[:])
	mac.Write(signed)
	mac.Write(guest.AsSlice())
	return base64.RawURLEncoding.EncodeToString(mac.Sum(signed))
}

// valid reports whether a token was given to the guest and has not ended.
func (m *metadata) valid(token string, guest netip.Addr) bool {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) != 8+sha256.Size {
		return false
	}
	end := int64(binary.BigEndian.Uint64(raw))
	return hmac.Equal([]byte(token), []byte(m.sign(end, guest))) && m.now().Unix() < end
}
