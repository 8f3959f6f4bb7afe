package hash

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
)

// KeySize is the length of an RSS key in bytes. It suffices for the longest
// input, 36 bytes, and the 32-bit window that moves over it.
const KeySize = 40

// Key is the key of a Toeplitz hash, first byte first, as ethtool and DPDK
// write it.
type Key [KeySize]byte

// ErrKey says that a text is not an RSS key.
var ErrKey = errors.New("hash: an RSS key is 40 bytes in hexadecimal, separated by colons")

// MicrosoftKey returns the key of the "RSS hashing verification" suite in
// Microsoft's driver documentation, which many drivers have as their default.
// It is public: whoever knows it can aim at one queue.
func MicrosoftKey() Key {
	return Key{
		0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2,
		0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
		0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4,
		0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
		0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
	}
}

// ENAFixedKey returns the key of ENA devices whose key cannot be set:
// Microsoft's key with its 32-bit words in reverse order (amzn-ec2-ena-utilities,
// ena-toeplitz).
func ENAFixedKey() Key {
	ms := MicrosoftKey()
	var k Key
	for i := 0; i < KeySize; i += 4 {
		copy(k[i:i+4], ms[KeySize-4-i:])
	}
	return k
}

// RandomKey returns a key from the system's random source, which is how Linux
// and DPDK set a settable one.
func RandomKey() Key {
	var k Key
	rand.Read(k[:]) //nolint:errcheck // it never fails: crypto/rand ends the process instead
	return k
}

// ParseKey reads a key in the form of ethtool -x: 40 bytes in hexadecimal,
// two digits each, separated by colons. It returns ErrKey for all else.
func ParseKey(s string) (Key, error) {
	var k Key
	if len(s) != KeySize*3-1 {
		return Key{}, ErrKey
	}
	for i := range k {
		at := i * 3
		if _, err := hex.Decode(k[i:i+1], []byte(s[at:at+2])); err != nil {
			return Key{}, ErrKey
		}
		if i < KeySize-1 && s[at+2] != ':' {
			return Key{}, ErrKey
		}
	}
	return k, nil
}

// String returns the key in the form that ParseKey reads.
func (k Key) String() string {
	b := make([]byte, 0, KeySize*3)
	for i := range k {
		b = hex.AppendEncode(b, k[i:i+1])
		b = append(b, ':')
	}
	return string(b[:len(b)-1])
}

// reversed returns the key with its bytes in reverse order.
func (k Key) reversed() Key {
	var r Key
	for i, b := range k {
		r[KeySize-1-i] = b
	}
	return r
}

// bit returns bit i, counted from the most significant bit of the first byte.
func (k *Key) bit(i int) uint32 { return uint32(k[i/8]>>(7-i%8)) & 1 }

// window returns the 32 bits that begin at bit i.
func (k *Key) window(i int) uint32 {
	var w uint32
	for j := range 32 {
		w = w<<1 | k.bit(i+j)
	}
	return w
}
