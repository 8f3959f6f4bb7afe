package dpdk

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/nitrod/nitrod/internal/pktio"
)

func init() {
	roles["nohuge"] = roleNoHuge
	roles["echo"] = roleEcho
	roles["tap"] = roleTap
}

// roleNoHuge moves packets in a process without hugepages.
func roleNoHuge() error {
	if err := childInit(Options{Hugepages: HugepagesOff, MemoryMB: 128, FilePrefix: os.Getenv("PREFIX")}); err != nil {
		return err
	}
	if Hugepages() {
		return errors.New("EAL has hugepages")
	}
	pool, err := NewPool(PoolConfig{Name: "p", Count: 2047, Cache: 32})
	if err != nil {
		return err
	}
	port, err := OpenPort(PortConfig{Device: "net_null0", Pool: pool})
	if err != nil {
		return err
	}
	cpus, err := allowedCPUs(0)
	if err != nil {
		return err
	}
	lcore, err := RegisterLcore(cpus[0])
	if err != nil {
		return err
	}
	io, err := NewIO(pool, []RxQueue{{Port: port}}, 0)
	if err != nil {
		return err
	}
	descs := make([]pktio.Desc, 32)
	n := io.Rx(descs)
	free(descs[:n]...)
	io.Close()
	if err := errors.Join(lcore.Unregister(), port.Close()); err != nil {
		return err
	}
	if n != 32 || pool.InUse() != 0 {
		return fmt.Errorf("%d packets came, %d leaked", n, pool.InUse())
	}
	pool.Close()
	return Cleanup()
}

// roleEcho opens the port DEVICE and sends back what it receives.
func roleEcho() error {
	if err := childInit(Options{FilePrefix: "nitrod-echo", Args: []string{"--single-file-segments"}}); err != nil {
		return err
	}
	pool, err := NewPool(PoolConfig{Name: "p", Count: 4095, Cache: 32})
	if err != nil {
		return err
	}
	port, err := OpenPort(PortConfig{Device: os.Getenv("DEVICE"), Pool: pool})
	if err != nil {
		return err
	}
	io, err := NewIO(pool, []RxQueue{{Port: port}}, 0)
	if err != nil {
		return err
	}
	descs := make([]pktio.Desc, 32)
	bufs, err := mapWords(32)
	if err != nil {
		return err
	}
	say("ready")
	untilTold(func() {
		n := io.Rx(descs)
		if n == 0 {
			io.Idle(pktio.RestSleep, 1000)
			return
		}
		for i, d := range descs[:n] {
			bufs[i] = d.Buf
		}
		f := pktio.Flush{Runs: []pktio.TxRun{{Bufs: addressOf(bufs), Port: port.ID(), N: uint16(n)}}}
		io.Tx(&f)
		io.Tx(&pktio.Flush{Frees: append([]uint64(nil), bufs[f.Runs[0].Sent:n]...)})
	})
	io.Close()
	if err := port.Close(); err != nil {
		return err
	}
	if n := pool.InUse(); n != 0 {
		return fmt.Errorf("%d packets leaked", n)
	}
	return Cleanup()
}

// roleTap opens a tap in a namespace of its own and waits to be killed.
func roleTap() error {
	if err := childInit(Options{FilePrefix: os.Getenv("PREFIX")}); err != nil {
		return err
	}
	pool, err := NewPool(PoolConfig{Name: "p", Count: 255})
	if err != nil {
		return err
	}
	mac, err := net.ParseMAC(guestMAC.String())
	if err != nil {
		return err
	}
	if _, err := OpenTap(TapConfig{Name: "eth0", Netns: os.Getenv("NETNS"), CreateNetns: true, MAC: mac, Pool: pool}); err != nil {
		return err
	}
	say("ready")
	select {}
}
