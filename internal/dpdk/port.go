package dpdk

/*
#include <stdlib.h>
#include "nd.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

// PortConfig describes a port to open.
type PortConfig struct {
	// Device is a DPDK device string, such as "net_null0,no-rx=1",
	// "net_pcap0,rx_pcap=in.pcap,infinite_rx=1" or a PCI address.
	Device string
	// Pool gives the packets that the port receives into. It must outlive the
	// port. net_af_xdp gets a pool of its own: of DPDK 22.11, it does not give
	// back what it holds when it is closed.
	Pool *Pool
	// RxQueues and TxQueues are how many queues to use; 0 means 1.
	RxQueues, TxQueues int
	// RxDesc and TxDesc are descriptors per queue; 0 leaves it to the driver.
	// They are moved to the nearest number that the driver can do.
	RxDesc, TxDesc int
	// MTU is the longest packet behind the Ethernet header, in bytes. 0 leaves
	// it as the device has it.
	MTU int
	// Interrupts asks for receive interrupts, so that IO.Idle can wait for a
	// packet. A driver that has none may refuse to start.
	Interrupts bool
}

// Port is a started DPDK port.
//
// Thread-safety: queues belong to one lcore each; all methods may be called
// from any goroutine, but Stop and Close only while no lcore uses the port.
type Port struct {
	id       uint16
	device   string // the device string
	name     string // its part before the first comma
	driver   string
	rxQueues int
	txQueues int
	rxDesc   int
	txDesc   int
	mtu      int
	mac      net.HardwareAddr

	mu       sync.Mutex // guards the rest
	started  bool
	detached bool
}

// ethdev orders what attaches and detaches devices: DPDK's control calls are
// not safe against each other.
var ethdev sync.Mutex

// openPorts are the names of the devices that are open.
var openPorts struct {
	sync.Mutex
	names map[string]bool
}

// OpenPort attaches a device, configures it, and starts it in promiscuous mode
// (where the driver knows such a mode). What the driver cannot do is adapted to
// or refused; errors name the device and the reason.
//
// Limits: MaxPorts ports in a process.
func OpenPort(c PortConfig) (*Port, error) {
	// The driver's reason is in the thread's last log line.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return openPort(c)
}

// openPort works on the calling thread, which must be locked.
func openPort(c PortConfig) (*Port, error) {
	if !isUp() {
		return nil, ErrNotInitialised
	}
	name, _, _ := strings.Cut(c.Device, ",")
	if name == "" || len(name) >= C.ND_NAME_MAX {
		return nil, fmt.Errorf("dpdk: device %q: its name is empty or longer than %d bytes", c.Device, C.ND_NAME_MAX-1)
	}
	ethdev.Lock()
	defer ethdev.Unlock()
	if err := claimDevice(name); err != nil {
		return nil, err
	}
	C.nd_log_forget()
	id, err := probe(name, c.Device)
	if err != nil {
		releaseDevice(name)
		return nil, fmt.Errorf("dpdk: device %s: %w", c.Device, withLog(err))
	}
	return adoptPort(id, name, c)
}

// adoptPort configures and starts a device that is attached and claimed. The
// caller holds ethdev.
func adoptPort(id uint16, name string, c PortConfig) (*Port, error) {
	p := &Port{id: id, device: c.Device, name: name}
	C.nd_log_forget()
	if err := p.setUp(c); err != nil {
		err = fmt.Errorf("dpdk: device %s: %w", c.Device, withLog(err))
		return nil, errors.Join(err, p.close())
	}
	if err := reconfine(); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func claimDevice(name string) error {
	openPorts.Lock()
	defer openPorts.Unlock()
	if openPorts.names[name] {
		return fmt.Errorf("dpdk: device %s is open already", name)
	}
	if openPorts.names == nil {
		openPorts.names = make(map[string]bool)
	}
	openPorts.names[name] = true
	return nil
}

func releaseDevice(name string) {
	openPorts.Lock()
	defer openPorts.Unlock()
	delete(openPorts.names, name)
}

// probe attaches the device, unless EAL attached it as it started (PCI).
func probe(name, device string) (uint16, error) {
	cname, cdevice := C.CString(name), C.CString(device)
	defer C.free(unsafe.Pointer(cname))
	defer C.free(unsafe.Pointer(cdevice))
	var id C.uint16_t
	if C.nd_port_find(cname, &id) == 0 {
		return uint16(id), nil
	}
	if err := check(C.nd_port_probe(cdevice)); errors.Is(err, syscall.EFAULT) { // EAL's word for a name it cannot place
		return 0, fmt.Errorf("there is no such device, and no DPDK driver here that makes one of that name: %w", err)
	} else if err != nil {
		return 0, fmt.Errorf("it cannot be attached: %w", err)
	}
	if err := check(C.nd_port_find(cname, &id)); err != nil {
		return 0, fmt.Errorf("it was attached, but is no Ethernet device: %w", err)
	}
	return uint16(id), nil
}

func (p *Port) setUp(c PortConfig) error {
	if c.Pool == nil {
		return errors.New("a port needs a pool to receive into")
	}
	var info C.struct_nd_port_info
	if err := check(C.nd_port_info(C.uint16_t(p.id), &info)); err != nil {
		return fmt.Errorf("reading its limits: %w", err)
	}
	p.driver = C.GoString(&info.driver[0])
	plan, err := planPort(c, limitsOf(&info))
	if err != nil {
		return err
	}
	conf := C.struct_nd_port_conf{
		pool:       c.Pool.h,
		rx_queues:  C.uint16_t(plan.rxQueues),
		tx_queues:  C.uint16_t(plan.txQueues),
		rx_desc:    C.uint16_t(plan.rxDesc),
		tx_desc:    C.uint16_t(plan.txDesc),
		mtu:        C.uint16_t(plan.mtu),
		scatter:    cBool(plan.scatter),
		multi_segs: cBool(plan.multiSegs),
		interrupts: cBool(plan.interrupts),
	}
	if err := p.configure(&conf); err != nil {
		return err
	}
	p.rxQueues, p.txQueues = plan.rxQueues, plan.txQueues
	p.rxDesc, p.txDesc = int(conf.rx_desc), int(conf.tx_desc)
	if err := p.setMTU(plan); err != nil {
		return err
	}
	setPortFlags(p, plan.flags)
	if err := p.Start(); err != nil {
		return err
	}
	if err := check(C.nd_port_promiscuous(C.uint16_t(p.id))); err != nil && !isUnsupported(err) {
		return fmt.Errorf("promiscuous mode: %w", err)
	}
	mac := make(net.HardwareAddr, 6)
	if err := check(C.nd_port_mac(C.uint16_t(p.id), (*C.uint8_t)(&mac[0]))); err != nil {
		return fmt.Errorf("reading its MAC: %w", err)
	}
	p.mac = mac
	return nil
}

func (p *Port) configure(conf *C.struct_nd_port_conf) error {
	id := C.uint16_t(p.id)
	if err := check(C.nd_port_configure(id, conf)); err != nil {
		return fmt.Errorf("configuring %d receive and %d transmit queues: %w", conf.rx_queues, conf.tx_queues, err)
	}
	for q := range conf.rx_queues {
		if err := check(C.nd_port_setup_rx(id, conf, q)); err != nil {
			return fmt.Errorf("receive queue %d of %d descriptors: %w", q, conf.rx_desc, err)
		}
	}
	for q := range conf.tx_queues {
		if err := check(C.nd_port_setup_tx(id, conf, q)); err != nil {
			return fmt.Errorf("transmit queue %d of %d descriptors: %w", q, conf.tx_desc, err)
		}
	}
	return nil
}

func (p *Port) setMTU(plan portPlan) error {
	id := C.uint16_t(p.id)
	switch {
	case plan.forceMTU != 0:
		name := C.CString(p.name)
		defer C.free(unsafe.Pointer(name))
		if err := check(C.nd_port_force_mtu(id, name, C.uint16_t(plan.forceMTU))); err != nil {
			return fmt.Errorf("MTU %d: ethdev refuses it and cannot be told otherwise: %w", plan.forceMTU, err)
		}
	case plan.mtu != 0:
		// A driver that cannot set an MTU has accepted this one as it was
		// configured.
		if err := check(C.nd_port_set_mtu(id, C.uint16_t(plan.mtu))); err != nil && !isUnsupported(err) {
			return fmt.Errorf("MTU %d: %w", plan.mtu, err)
		}
	}
	var mtu C.uint16_t
	if err := check(C.nd_port_get_mtu(id, &mtu)); err != nil {
		return fmt.Errorf("reading its MTU: %w", err)
	}
	p.mtu = int(mtu)
	return nil
}

// Start starts the port; OpenPort has done so already.
func (p *Port) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.started {
		return nil
	}
	if err := check(C.nd_port_start(C.uint16_t(p.id))); err != nil {
		return fmt.Errorf("dpdk: starting %s: %w", p.name, err)
	}
	p.started = true
	return nil
}

// Stop stops the port. No lcore may use it meanwhile.
func (p *Port) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stop()
}

func (p *Port) stop() error {
	if !p.started {
		return nil
	}
	if err := check(C.nd_port_stop(C.uint16_t(p.id))); err != nil {
		return fmt.Errorf("dpdk: stopping %s: %w", p.name, err)
	}
	p.started = false
	return nil
}

// Close stops the port and detaches its device. A second call does nothing. No
// lcore may use the port, and no IO may be made of it any more.
func (p *Port) Close() error {
	ethdev.Lock()
	defer ethdev.Unlock()
	return p.close()
}

func (p *Port) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.detached {
		return nil
	}
	if err := p.stop(); err != nil {
		return err
	}
	p.detached = true
	err := check(C.nd_port_detach(C.uint16_t(p.id)))
	releaseDevice(p.name)
	if err != nil {
		return fmt.Errorf("dpdk: detaching %s: %w", p.name, err)
	}
	return nil
}

func isUnsupported(err error) bool {
	return errors.Is(err, errENOTSUP) || errors.Is(err, errENOSYS)
}

func cBool(b bool) C.uint8_t {
	if b {
		return 1
	}
	return 0
}
