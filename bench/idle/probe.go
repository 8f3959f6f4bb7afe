package idle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/nitrod/nitrod/internal/dpdk"
	"golang.org/x/sys/unix"
)

// port is the datagrams' at either end.
const port = 9000

// patience is how long a datagram may take that is not lost.
const patience = time.Second

// probe sends datagrams from one guest to the other.
type probe struct {
	from, to int // sockets
	seq      uint32
}

func newProbe() (*probe, error) {
	p := &probe{from: -1, to: -1}
	open := func(i int, to *int, options func(fd int) error) error {
		return dpdk.InNetns(sides[i].namespace, func() (err error) {
			if *to, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return err
			}
			return errors.Join(options(*to), unix.Bind(*to, &unix.SockaddrInet4{Port: port}))
		})
	}
	wait := unix.NsecToTimeval(int64(patience))
	err := open(1, &p.to, func(fd int) error {
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20),
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait))
	})
	if err == nil {
		err = open(0, &p.from, func(fd int) error {
			// A veth leaves the checksum to a device that is not there.
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1)
		})
	}
	if err == nil {
		err = unix.Connect(p.from, &unix.SockaddrInet4{Port: port, Addr: [4]byte(sides[1].ip)})
	}
	if err != nil {
		p.close()
		return nil, fmt.Errorf("sockets of the guests: %w", err)
	}
	return p, nil
}

func (p *probe) close() {
	for _, fd := range []int{p.from, p.to} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// warm sends until a datagram arrives: then both ends know their routers, and the
// flow is known.
func (p *probe) warm() error {
	var err error
	for range 10 {
		if _, err = p.first(); err == nil {
			return nil
		}
	}
	return fmt.Errorf("nothing arrives: %w", err)
}

// send sends a datagram with the next number.
func (p *probe) send() error {
	p.seq++
	_, err := unix.Write(p.from, binary.BigEndian.AppendUint32(nil, p.seq))
	return err
}

// first sends a datagram and returns what passes until the kernel of the other
// side has it.
func (p *probe) first() (time.Duration, error) {
	before := time.Now()
	if err := p.send(); err != nil {
		return 0, err
	}
	for {
		seq, at, err := p.receive()
		if err != nil {
			return 0, err
		}
		if seq == p.seq {
			return at.Sub(before.Round(0)), nil // the kernel's clock is the wall's
		}
	}
}

// step sends n datagrams at once and returns how many of them do not arrive.
func (p *probe) step(n int) (lost int, err error) {
	for range n {
		if err := p.send(); err != nil {
			return 0, err
		}
	}
	for got := 0; got < n; got++ {
		switch seq, _, err := p.receive(); {
		case errors.Is(err, unix.EAGAIN):
			return n - got, nil
		case err != nil:
			return 0, err
		case seq == p.seq:
			return n - got - 1, nil // they keep their order
		}
	}
	return 0, nil
}

// receive returns the number of the next datagram, and when it came.
func (p *probe) receive() (seq uint32, at time.Time, err error) {
	var data [4]byte
	var control [64]byte
	var n, c int
	for err = unix.EINTR; err == unix.EINTR; { // a signal of the runtime's
		n, c, _, _, err = unix.Recvmsg(p.to, data[:], control[:], 0)
	}
	if err != nil {
		return 0, at, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:c])
	if err != nil {
		return 0, at, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 && n == len(data) {
			at = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			return binary.BigEndian.Uint32(data[:]), at, nil
		}
	}
	return 0, at, errors.New("a datagram without the kernel's time")
}
