package dpdk

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
)

// TapConfig describes a tap: an interface of the kernel's whose other end is a
// port of nitrod's.
type TapConfig struct {
	Name string // of the interface, at most 15 bytes
	// Netns is the network namespace to put it in, by name (as "ip netns" has
	// it) or by path. Empty: the namespace of the process.
	Netns string
	// CreateNetns creates the namespace where there is none of that name.
	CreateNetns bool
	// MAC is the guest's: the kernel's interface gets it.
	MAC net.HardwareAddr
	// MTU of both ends; 0 means 1500.
	MTU int
	// Queues is the number of queues in each direction, 1 to 16; 0 means 1.
	Queues int
	// SendRing is how many packets of the guest's may wait at each queue for the
	// port to take them; 0 leaves it to the kernel.
	SendRing int
	Pool     *Pool
}

// Tap is an open tap. Closing it leaves the interface in place, with its
// addresses and routes, for the next start; Remove does not.
type Tap struct {
	*Port
	name, netns  string
	createdNetns bool
}

var tapNumber atomic.Int64

// OpenTap makes a persistent multi-queue tap inside its namespace, or takes over
// one that a former run left there, and opens it as a port (net_tap).
//
// The driver looks the interface up by name each time it adds a queue, so all
// of that happens on a thread inside the namespace, and the tap must not be
// moved to another one.
//
// Limits: 16 queues (net_tap). One system call per packet.
func OpenTap(c TapConfig) (*Tap, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	fail := func(err error) error {
		return fmt.Errorf("dpdk: tap %s in %s: %w", c.Name, netnsName(c.Netns), err)
	}
	if err := c.validate(); err != nil {
		return nil, fail(err)
	}
	t := &Tap{name: c.Name, netns: c.Netns}
	if c.CreateNetns {
		var err error
		if t.createdNetns, err = CreateNetns(c.Netns); err != nil {
			return nil, err
		}
	}
	err := InNetns(c.Netns, func() error { return t.open(c) })
	if err != nil {
		if t.createdNetns {
			err = errors.Join(err, DeleteNetns(c.Netns))
		}
		return nil, fail(err)
	}
	return t, nil
}

// open works on a thread inside the namespace.
func (t *Tap) open(c TapConfig) error {
	created, err := makeTap(c.Name, c.MAC)
	if err != nil {
		return err
	}
	undo := func(err error) error {
		if created {
			return errors.Join(err, removeTap(c.Name))
		}
		return err // a former run's tap stays as it was found
	}
	port, err := openPort(PortConfig{
		// "persist" keeps the driver from taking the interface down at its end,
		// which would cost the guest its routes.
		Device:   fmt.Sprintf("net_tap%d,iface=%s,mac=%s,persist", tapNumber.Add(1)-1, c.Name, c.MAC),
		Pool:     c.Pool,
		RxQueues: c.Queues,
		TxQueues: c.Queues,
		MTU:      c.MTU,
		// They cost nothing where nobody waits for them.
		Interrupts: true,
	})
	if err != nil {
		return undo(err)
	}
	if err := finishTap(&c); err != nil {
		return undo(errors.Join(err, port.Close()))
	}
	t.Port = port
	return nil
}

func (c TapConfig) validate() error {
	switch {
	case c.Name == "" || len(c.Name) > 15 || strings.ContainsAny(c.Name, "/:,=% \t\n"):
		return errors.New("this is no name for an interface")
	case len(c.MAC) != 6 || c.MAC[0]&1 != 0 || c.MAC.String() == "00:00:00:00:00:00":
		return fmt.Errorf("%q is no address for an interface", c.MAC)
	case c.CreateNetns && c.Netns == "":
		return errors.New("a namespace without a name cannot be created")
	}
	return nil
}

// Interface returns the name of the kernel's interface.
func (t *Tap) Interface() string { return t.name }

// Netns returns the namespace as TapConfig gave it.
func (t *Tap) Netns() string { return t.netns }

// CreatedNetns reports whether OpenTap created the namespace.
func (t *Tap) CreatedNetns() bool { return t.createdNetns }

// Remove closes the port, deletes the interface, and deletes the namespace if
// OpenTap created it. No lcore may use the port.
func (t *Tap) Remove() error {
	err := t.Close()
	err = errors.Join(err, RemoveTap(t.name, t.netns))
	if t.createdNetns {
		t.createdNetns = false
		err = errors.Join(err, DeleteNetns(t.netns))
	}
	return err
}

// RemoveTap deletes a tap that is not open. It is no error that the interface
// or the namespace is gone already.
func RemoveTap(name, ns string) error {
	err := InNetns(ns, func() error { return removeTap(name) })
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("dpdk: removing tap %s from %s: %w", name, netnsName(ns), err)
	}
	return nil
}

func netnsName(ns string) string {
	if ns == "" {
		return "the process's network namespace"
	}
	return "network namespace " + ns
}
