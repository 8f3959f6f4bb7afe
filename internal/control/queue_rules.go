package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/nitrod/nitrod/hash"
	"github.com/nitrod/nitrod/pipeline"
)

// queueWhy says in one line why a packet goes to its queue.
func queueWhy(c *pipeline.QueueChoice) string {
	why := fmt.Sprintf("%s of %s is %#08x, entry %d of %d in the indirection table", c.Function, c.Fields, c.Hash, c.Entry, c.Entries)
	if c.Rule >= 0 {
		why = fmt.Sprintf("by the steering rule at location %d", c.Rule)
	}
	if c.Moving {
		why += "; a change is under way, and a flow goes by its old queue until that has sent its packets"
	}
	return why
}

// RSS is how an ENI spreads what it receives: the answer to GET /v1/queues/rss.
type RSS struct {
	ENI      string   `json:"eni"`
	Function string   `json:"function"`       // toeplitz or crc32
	Key      string   `json:"key,omitempty"`  // of toeplitz
	Mode     string   `json:"mode,omitempty"` // of toeplitz
	Table    []uint16 `json:"table"`          // queue by entry
	Moving   bool     `json:"moving"`         // some flows may go by the queues of before yet

	// Packet is where one goes that was asked for.
	Packet *Prediction `json:"packet,omitempty"`
}

// Prediction is the receive queue to which a packet goes, if policy lets it pass.
type Prediction struct {
	Queue int    `json:"queue"`
	Why   string `json:"why"`
}

// RSSChange is the body of POST /v1/queues/rss. What is empty stays as it is.
type RSSChange struct {
	ENI      string   `json:"eni"`
	Function string   `json:"function,omitempty"`
	Key      string   `json:"key,omitempty"`
	Mode     string   `json:"mode,omitempty"`
	Size     int      `json:"size,omitempty"`    // of the table, which is then spread anew
	Equal    int      `json:"equal,omitempty"`   // spread evenly over so many queues
	Weights  []uint32 `json:"weights,omitempty"` // spread by these, one for each queue
	Table    []uint16 `json:"table,omitempty"`   // queue by entry
}

// Steering is an instance's steering rules: the answer to GET /v1/queues/steer.
type Steering struct {
	Instance string      `json:"instance"`
	Size     int         `json:"size"` // rules that there is room for
	Rules    []SteerRule `json:"rules"`
}

// SteerRule is a steering rule as people write it. A bit of a mask that is 1 is
// compared; a value without a mask is compared whole. It is the body of
// POST /v1/queues/steer.
type SteerRule struct {
	ENI         string  `json:"eni"`
	Location    *uint32 `json:"location"`
	Queue       uint16  `json:"queue"`
	Type        string  `json:"type"` // ip4, ip6, tcp4, tcp6, udp4 or udp6
	Src         string  `json:"src,omitempty"`
	SrcMask     string  `json:"src_mask,omitempty"`
	Dst         string  `json:"dst,omitempty"`
	DstMask     string  `json:"dst_mask,omitempty"`
	SrcPort     uint16  `json:"src_port,omitempty"`
	SrcPortMask uint16  `json:"src_port_mask,omitempty"`
	DstPort     uint16  `json:"dst_port,omitempty"`
	DstPortMask uint16  `json:"dst_port_mask,omitempty"`
	TOS         uint8   `json:"tos,omitempty"`
	TOSMask     uint8   `json:"tos_mask,omitempty"`
}

var rssModes = map[string]hash.Mode{
	"standard": hash.ModeStandard, "symmetric": hash.ModeSymmetric, "ena_fixed": hash.ModeENAFixed,
	"ena_linux": hash.ModeENALinux, "ena_linux_unset": hash.ModeENALinuxUnset,
}

var steerTypes = map[string]hash.FlowType{
	"ip4": hash.FlowIPv4, "ip6": hash.FlowIPv6, "tcp4": hash.FlowIPv4TCP,
	"tcp6": hash.FlowIPv6TCP, "udp4": hash.FlowIPv4UDP, "udp6": hash.FlowIPv6UDP,
}

// nameIn returns the name of a value.
func nameIn[V comparable](names map[string]V, v V) string {
	for name, x := range names {
		if x == v {
			return name
		}
	}
	return ""
}

func rssOf(e *pipeline.Engine, eni string) (*RSS, error) {
	r, err := e.RSSOf(eni)
	if err != nil {
		return nil, fmt.Errorf("there is no ENI %q", eni)
	}
	out := &RSS{ENI: eni, Function: "crc32", Table: r.Table.Entries(), Moving: e.QueuesMoving(eni)}
	if !r.CRC32 {
		out.Function, out.Key, out.Mode = "toeplitz", r.Key.String(), nameIn(rssModes, r.Mode)
	}
	return out, nil
}

// setRSS checks a change whole before it makes it.
func setRSS(e *pipeline.Engine, c *RSSChange) error {
	r, err := e.RSSOf(c.ENI)
	if err != nil {
		return fmt.Errorf("there is no ENI %q", c.ENI)
	}
	switch c.Function {
	case "":
	case "toeplitz", "crc32":
		r.CRC32 = c.Function == "crc32"
	default:
		return fmt.Errorf("function %q is neither toeplitz nor crc32", c.Function)
	}
	if c.Key != "" {
		if r.Key, err = hash.ParseKey(c.Key); err != nil {
			return err
		}
	}
	if c.Mode != "" {
		mode, ok := rssModes[c.Mode]
		if !ok {
			return fmt.Errorf("mode %q is none of standard, symmetric, ena_fixed, ena_linux, ena_linux_unset", c.Mode)
		}
		r.Mode = mode
	}
	if r.Table, err = tableOf(e, c, r.Table); err != nil {
		return err
	}
	return e.SetRSS(c.ENI, r)
}

// tableOf returns the table that a change asks for.
func tableOf(e *pipeline.Engine, c *RSSChange, t hash.IndirectionTable) (hash.IndirectionTable, error) {
	ways := 0
	for _, given := range []bool{c.Equal != 0, len(c.Weights) != 0, len(c.Table) != 0} {
		if given {
			ways++
		}
	}
	if ways > 1 {
		return t, errors.New("a table is given by one of equal, weights and table")
	}
	size := max(c.Size, len(c.Table))
	if size != 0 {
		snap := e.Policy()
		eni, _ := snap.ENIByID(c.ENI)
		var err error
		if t, err = hash.NewIndirectionTable(size, int(snap.ENIs[eni].Queues)); err != nil {
			return t, err
		}
	}
	switch {
	case c.Equal != 0:
		return t.WithEqual(c.Equal)
	case len(c.Weights) != 0:
		return t.WithWeights(c.Weights)
	case len(c.Table) != 0:
		return t.WithEntries(c.Table)
	}
	return t, nil
}

// steerOf turns a rule into the engine's.
func steerOf(r *SteerRule) (s pipeline.Steer, err error) {
	typ, ok := steerTypes[r.Type]
	if !ok {
		return s, fmt.Errorf("type %q is none of ip4, ip6, tcp4, tcp6, udp4, udp6: %w", r.Type, hash.ErrSteerUnsupported)
	}
	if r.Location == nil {
		return s, hash.ErrSteerLocation
	}
	s = pipeline.Steer{ENI: r.ENI, Rule: hash.SteerRule{
		Location: *r.Location, Queue: r.Queue, Type: typ, SrcPort: r.SrcPort, SrcPortMask: r.SrcPortMask,
		DstPort: r.DstPort, DstPortMask: r.DstPortMask, TrafficClass: r.TOS, TrafficMask: r.TOSMask,
	}}
	v6 := typ == hash.FlowIPv6 || typ == hash.FlowIPv6TCP || typ == hash.FlowIPv6UDP
	if s.Rule.Src, s.Rule.SrcMask, err = maskedAddr(r.Src, r.SrcMask, v6); err != nil {
		return s, err
	}
	s.Rule.Dst, s.Rule.DstMask, err = maskedAddr(r.Dst, r.DstMask, v6)
	return s, err
}

// maskedAddr reads an address and its mask; without an address nothing is
// compared.
func maskedAddr(addr, mask string, v6 bool) (a, m hash.Addr, err error) {
	if addr == "" {
		if mask != "" {
			return a, m, fmt.Errorf("mask %s is of no address", mask)
		}
		return a, m, nil
	}
	if a, err = steerAddr(addr, v6); err != nil {
		return a, m, err
	}
	if mask == "" {
		mask = "255.255.255.255"
		if v6 {
			mask = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
		}
	}
	m, err = steerAddr(mask, v6)
	return a, m, err
}

func steerAddr(text string, v6 bool) (hash.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || a.Is6() != v6 || a.Zone() != "" {
		return hash.Addr{}, fmt.Errorf("%q is no address or mask of the rule's family", text)
	}
	if !v6 {
		b := a.As4()
		return hash.Addr{Lo: uint64(binary.BigEndian.Uint32(b[:]))}, nil
	}
	b := a.As16()
	return hash.Addr{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}, nil
}

func steeringOf(e *pipeline.Engine, eni string) (*Steering, error) {
	snap := e.Policy()
	i, ok := snap.ENIByID(eni)
	if !ok {
		return nil, fmt.Errorf("there is no ENI %q", eni)
	}
	instance := snap.ENI(i).Instance
	t := e.SteeringOf(instance)
	out := &Steering{Instance: instance, Size: t.Size(), Rules: []SteerRule{}}
	for _, r := range t.Rules() {
		v6 := r.Type == hash.FlowIPv6 || r.Type == hash.FlowIPv6TCP || r.Type == hash.FlowIPv6UDP
		out.Rules = append(out.Rules, SteerRule{
			ENI: snap.ENI(r.ENI).ID, Location: &r.Location, Queue: r.Queue, Type: nameIn(steerTypes, r.Type),
			Src: addrText(r.Src, r.SrcMask, v6), SrcMask: addrText(r.SrcMask, r.SrcMask, v6),
			Dst: addrText(r.Dst, r.DstMask, v6), DstMask: addrText(r.DstMask, r.DstMask, v6),
			SrcPort: r.SrcPort, SrcPortMask: r.SrcPortMask, DstPort: r.DstPort, DstPortMask: r.DstPortMask,
			TOS: r.TrafficClass, TOSMask: r.TrafficMask,
		})
	}
	return out, nil
}

// addrText writes an address, or nothing where its mask compares nothing.
func addrText(a, mask hash.Addr, v6 bool) string {
	if mask == (hash.Addr{}) {
		return ""
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	if !v6 {
		return netip.AddrFrom4([4]byte(b[12:])).String()
	}
	return netip.AddrFrom16(b).String()
}

// queueRoutes adds what reads and changes the choice of queues.
func (s *Server) queueRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/queues/rss", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		out, err := rssOf(s.engine, q.Get("eni"))
		if err == nil && q.Has("tuple") {
			out.Packet, err = predict(s.engine, out.ENI, q)
		}
		answer(w, out, err)
	})
	mux.HandleFunc("GET /v1/queues/steer", func(w http.ResponseWriter, r *http.Request) {
		out, err := steeringOf(s.engine, r.URL.Query().Get("eni"))
		answer(w, out, err)
	})
	mux.HandleFunc("POST /v1/queues/rss", func(w http.ResponseWriter, r *http.Request) {
		var c RSSChange
		if err := body(w, r, &c); err != nil {
			answer(w, nil, err)
			return
		}
		err := setRSS(s.engine, &c)
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /v1/queues/steer", func(w http.ResponseWriter, r *http.Request) {
		var rule SteerRule
		err := body(w, r, &rule)
		var steer pipeline.Steer
		if err == nil {
			steer, err = steerOf(&rule)
		}
		if err == nil {
			err = s.engine.AddSteering(steer)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("DELETE /v1/queues/steer", func(w http.ResponseWriter, r *http.Request) {
		location, err := strconv.ParseUint(r.URL.Query().Get("location"), 10, 32)
		if err == nil {
			err = s.engine.RemoveSteering(r.URL.Query().Get("eni"), uint32(location))
		}
		answer(w, struct{}{}, err)
	})
}

// body decodes a request.
func body(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// answer replies, or refuses with the name of the error number that ENA's driver
// gives, where it has one.
func answer(w http.ResponseWriter, out any, err error) {
	var errno syscall.Errno
	switch {
	case err == nil:
		reply(w, out)
	case errors.As(err, &errno):
		refuse(w, http.StatusConflict, fmt.Errorf("%s (%s)", sayable(err), errnoNames[errno]))
	default:
		refuse(w, http.StatusBadRequest, errors.New(sayable(err)))
	}
}

// sayable is an error's text without the name of the package that found it.
func sayable(err error) string {
	text := err.Error()
	for _, name := range []string{"pipeline: ", "hash: ", "json: "} {
		text = strings.TrimPrefix(text, name)
	}
	return text
}

var errnoNames = map[syscall.Errno]string{syscall.EINVAL: "EINVAL", syscall.EOPNOTSUPP: "EOPNOTSUPP", syscall.EBUSY: "EBUSY"}
