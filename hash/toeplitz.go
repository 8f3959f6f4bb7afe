package hash

import "math/bits"

// Mode says how a card applies the Toeplitz hash: what it makes of the key,
// what the result is combined with and whether the tuple is sorted first.
// Sources: Microsoft's "RSS hashing functions" for the function itself,
// amzn-ec2-ena-utilities (ena-toeplitz) for what ENA devices and their drivers
// do with it. ENA's tool covers IPv4; IPv6 follows the same rules here.
type Mode uint8

// The modes.
const (
	// ModeStandard is the textbook: the key as given, the tuple as sent.
	ModeStandard Mode = iota

	// ModeSymmetric is the textbook hash over sorted endpoints: the pair of
	// address and port that is smaller as a number comes first, so that both
	// directions of a flow hash alike under any key. nitrod's own dispatch
	// uses it; no ENA device does.
	ModeSymmetric

	// ModeENAFixed is an ENA device whose key cannot be set. The key given is
	// not used, ENAFixedKey is. The smaller address comes first and the
	// smaller port comes first, each sorted on its own, so both directions of
	// a flow hash alike, and so do flows with their ports exchanged. Of the
	// hash, inverted, only the low 16 bits are real; they are repeated above.
	ModeENAFixed

	// ModeENALinux is an ENA device with a settable key under Linux (driver
	// after 2.6) or Windows: the device reverses the key's bytes and the
	// result is inverted (initial value 0xffffffff).
	ModeENALinux

	// ModeENALinuxUnset is the same device under Linux drivers 2.2.11g to
	// 2.6.0g before a user sets a key: reversed bytes, initial value 0.
	ModeENALinuxUnset

	// ModeENADPDK is the same device under DPDK or FreeBSD, whose drivers
	// reverse the key before the device does and set 0 as the initial value,
	// which makes it the textbook's.
	ModeENADPDK = ModeStandard
)

// order says how a tuple is arranged before it is hashed.
type order uint8

const (
	orderAsSent      order = iota
	orderEndpoints         // (address, port) pairs sorted together
	orderIndependent       // addresses sorted, ports sorted
)

// inputMax is the longest input in bytes: two IPv6 addresses and two ports.
const inputMax = 36

// Toeplitz is the Toeplitz hash under one key in one mode, with a table per
// input byte: the hash is linear over GF(2), so it is the XOR of what each
// byte contributes at its position.
//
// Thread-safety: immutable, for any number of goroutines.
//
// Limits: 37 KB, of which IPv4 touches 12. Making one takes some ten
// microseconds; keep it as long as the key lives.
type Toeplitz struct {
	tab   [inputMax][256]uint32
	vec   clmulKey
	init  uint32
	order order
	fold  bool // repeat the low 16 bits above
}

// NewToeplitz returns the hash for a key in a mode. A mode that does not exist
// is ModeStandard.
func NewToeplitz(key Key, mode Mode) *Toeplitz {
	t := new(Toeplitz)
	switch mode {
	case ModeSymmetric:
		t.order = orderEndpoints
	case ModeENAFixed:
		key = ENAFixedKey()
		t.order, t.init, t.fold = orderIndependent, 0xffffffff, true
	case ModeENALinux:
		key, t.init = key.reversed(), 0xffffffff
	case ModeENALinuxUnset:
		key = key.reversed()
	}
	for i := range t.tab {
		row := &t.tab[i]
		for b := range 8 {
			row[1<<b] = key.window(8*i + 7 - b)
		}
		for v := 1; v < 256; v++ {
			row[v] = row[v&(v-1)] ^ row[v&-v]
		}
	}
	t.vec = newClmulKey(&key, t.init)
	return t
}

// Hash returns the hash of a packet that is not a fragment: addresses and
// ports for TCP and UDP, the addresses alone for all other protocols.
func (t *Toeplitz) Hash(k *FlowKey) uint32 {
	ports, _ := rssPorts(k)
	return t.hash(k, ports)
}

// HashAddrs returns the hash over the addresses alone, which is what a
// fragment gets.
func (t *Toeplitz) HashAddrs(k *FlowKey) uint32 { return t.hash(k, 0) }

// HashFrame returns the hash over the Ethernet addresses, destination first,
// for a frame that is not IP. They are not sorted in any mode.
func (t *Toeplitz) HashFrame(dst, src [6]byte) uint32 {
	return t.result(t.three(frameWords(dst, src)))
}

// hash does not tell absent ports from ports 0: a zero contributes nothing to
// a linear function.
func (t *Toeplitz) hash(k *FlowKey, ports uint32) uint32 {
	src, dst := k.Src, k.Dst
	switch t.order {
	case orderEndpoints:
		src, dst, ports = sortEndpoints(src, dst, ports)
	case orderIndependent:
		if greater(src, dst) {
			src, dst = dst, src
		}
		ports = min(ports, swapPorts(ports))
	}
	if k.IsIPv6() {
		return t.result(t.four(0, src.Hi, src.Lo) ^ t.four(16, dst.Hi, dst.Lo) ^ t.word(32, ports))
	}
	return t.result(t.three(uint32(src.Lo), uint32(dst.Lo), ports))
}

// result turns the linear part into what the card reports.
func (t *Toeplitz) result(h uint32) uint32 {
	h ^= t.init
	if t.fold {
		h = h&0xffff | h<<16
	}
	return h
}

// three hashes the first 12 bytes of input.
func (t *Toeplitz) three(a, b, c uint32) uint32 {
	return t.tab[0][a>>24] ^ t.tab[1][a>>16&255] ^ t.tab[2][a>>8&255] ^ t.tab[3][a&255] ^
		t.tab[4][b>>24] ^ t.tab[5][b>>16&255] ^ t.tab[6][b>>8&255] ^ t.tab[7][b&255] ^
		t.tab[8][c>>24] ^ t.tab[9][c>>16&255] ^ t.tab[10][c>>8&255] ^ t.tab[11][c&255]
}

// four hashes the 16 bytes of input that begin at byte i.
func (t *Toeplitz) four(i int, hi, lo uint64) uint32 {
	return t.word(i, uint32(hi>>32)) ^ t.word(i+4, uint32(hi)) ^
		t.word(i+8, uint32(lo>>32)) ^ t.word(i+12, uint32(lo))
}

// word hashes the 4 bytes of input that begin at byte i.
func (t *Toeplitz) word(i int, w uint32) uint32 {
	r := t.tab[i : i+4 : i+4]
	return r[0][w>>24] ^ r[1][w>>16&255] ^ r[2][w>>8&255] ^ r[3][w&255]
}

// sortEndpoints puts the smaller pair of address and port first, without a
// branch: which one it is is as good as random.
func sortEndpoints(a, b Addr, ports uint32) (lo, hi Addr, sorted uint32) {
	other := swapPorts(ports)
	_, borrow := bits.Sub64(uint64(other), uint64(ports), 0)
	_, borrow = bits.Sub64(b.Lo, a.Lo, borrow)
	_, borrow = bits.Sub64(b.Hi, a.Hi, borrow)
	swap := -borrow // all ones where b is the smaller
	xHi, xLo := (a.Hi^b.Hi)&swap, (a.Lo^b.Lo)&swap
	return Addr{a.Hi ^ xHi, a.Lo ^ xLo}, Addr{b.Hi ^ xHi, b.Lo ^ xLo}, ports ^ (ports^other)&uint32(swap)
}

// greater compares addresses as numbers.
func greater(a, b Addr) bool { return a.Hi > b.Hi || a.Hi == b.Hi && a.Lo > b.Lo }
