//go:build cgo

package daemon

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/dpdk"
	"github.com/nitrod/nitrod/policy"
)

// port is an ENI's open port: any DPDK device, or a tap.
type port struct {
	*dpdk.Port
	tap *dpdk.Tap // nil for a device
}

// device names the port to people.
func (p *port) device() string {
	if p.tap == nil {
		return p.Device()
	}
	if p.tap.Netns() == "" {
		return "tap " + p.tap.Interface()
	}
	return "tap " + p.tap.Interface() + " in " + p.tap.Netns()
}

func (p *port) close() error {
	if p.tap != nil {
		return p.tap.Remove()
	}
	return p.Close()
}

var pci = regexp.MustCompile(`^(?:[0-9a-fA-F]{4,8}:)?[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7](?:,|$)`)

func isPCI(device string) bool { return pci.MatchString(device) }

func pciAddress(device string) string {
	address, _, _ := strings.Cut(device, ",")
	return address
}

// openPorts opens all ports. A port that cannot be had is an error of
// the configuration, at its line.
func (d *daemon) openPorts() error {
	for i := range d.cfg.Ports {
		c := &d.cfg.Ports[i]
		eni, ok := d.snap.ENIByID(c.ENI)
		if !ok {
			return fmt.Errorf("a port belongs to %s, which there is not", c.ENI)
		}
		p, err := d.openPort(c, &d.snap.ENIs[eni])
		if err != nil {
			return config.Errors{&policy.Error{Pos: c.Pos, Msg: fmt.Sprintf("port of %s: %v", c.ENI, err)}}
		}
		d.ports = append(d.ports, p)
		d.later(p.close)
		if c.Tap != nil && c.Tap.Configure {
			if err := configureGuest(c.Tap, d.snap.ENI(eni)); err != nil {
				return config.Errors{&policy.Error{Pos: c.Tap.Pos, Msg: err.Error()}}
			}
		}
	}
	return nil
}

func (d *daemon) openPort(c *config.Port, eni *policy.ENIRecord) (*port, error) {
	if c.Tap != nil {
		t, err := dpdk.OpenTap(dpdk.TapConfig{
			Name: c.Tap.Name, Netns: c.Tap.Namespace, CreateNetns: c.Tap.CreateNamespace,
			MAC: eni.MAC[:], MTU: int(eni.MTU), Queues: c.RxQueues, SendRing: c.TxRing, Pool: d.pool,
		})
		if err != nil {
			return nil, err
		}
		return &port{Port: t.Port, tap: t}, nil
	}
	p, err := dpdk.OpenPort(dpdk.PortConfig{
		Device: c.Device, Pool: d.pool, RxQueues: c.RxQueues, TxQueues: c.TxQueues, RxDesc: c.TxRing, TxDesc: c.RxRing, MTU: int(eni.MTU),
		Interrupts: d.cfg.Host.Polling == config.PollingInterrupt,
	})
	if err != nil {
		return nil, err
	}
	return &port{Port: p}, nil
}
