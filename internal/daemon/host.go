//go:build cgo

package daemon

import (
	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/internal/control"
	"github.com/nitrod/nitrod/internal/dpdk"
)

// Port implements control.Host.
func (d *daemon) Port(eni uint16) (device, link string) {
	for i, p := range d.ports {
		if e, ok := d.snap.ENIByID(d.cfg.Ports[i].ENI); !ok || e != eni {
			continue
		}
		l, err := p.Link()
		switch {
		case err != nil:
			return p.device(), err.Error()
		case l.Up:
			return p.device(), "up"
		}
		return p.device(), "down"
	}
	return "", ""
}

// LcoreCPU implements control.Host.
func (d *daemon) LcoreCPU(lcore int) int { return d.cfg.Host.Lcores.CPUs[lcore] }

// Mbufs implements control.Host.
func (d *daemon) Mbufs() control.Mbufs {
	return control.Mbufs{Total: d.pool.Count(), Available: d.pool.Available()}
}

// Driver implements control.Host.
func (d *daemon) Driver() control.Driver {
	var out control.Driver
	for _, io := range d.ios {
		s := io.Stats()
		out.RxBadCsum += s.RxBadCsum
		out.RxOversized += s.RxOversized
		out.TxUnchained += s.TxUnchained
		out.BadResizes += s.BadResizes
		out.RxCompleted += s.RxCompleted
		out.RxPulledUp += s.RxPulledUp
		out.TxLinearised += s.TxLinearised
	}
	for _, p := range d.ports {
		s, err := p.Stats()
		if err != nil {
			continue // a driver without counters has none to show
		}
		out.RxMissed += s.RxMissed
		out.RxNoBuffer += s.RxNoMbuf
		out.RxErrors += s.RxErrors
		out.TxErrors += s.TxErrors
	}
	return out
}

// Version implements control.Host.
func (d *daemon) Version() (nitrod, dpdkVersion string) { return d.opts.Version, dpdk.Version() }

// Running implements control.Host.
func (d *daemon) Running() *config.Config { return d.cfg }
