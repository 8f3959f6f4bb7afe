// Command services answers guests behind a service port of nitrod's
// (docs/semantics.md S4.5): instance metadata at 169.254.169.254 and DNS at
// 169.254.169.253 and at the VPC's first IPv4 CIDR + 2. It is an example: small,
// and real as far as it goes. What it says of a guest comes from nitrod's own
// configuration file.
//
// It runs in the namespace of the service port, whose interface must have these
// addresses. examples/README.md has the commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"syscall"
	"time"

	"github.com/nitrod/nitrod/internal/config"
)

const (
	metadataAddress = "169.254.169.254:80"
	dnsAddress      = "169.254.169.253"
	dnsPort         = 53
)

func main() {
	file := flag.String("c", "", "nitrod's configuration file, with one service port")
	flag.Parse()
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "services:", err)
		os.Exit(1)
	}
}

// run serves until one of the servers fails.
func run(file string) error {
	cpus, err := config.AllowedCPUs()
	if err != nil {
		return err
	}
	cfg, err := config.Load(file, cpus)
	if err != nil {
		return err
	}
	guests, resolver, err := newDirectory(&cfg.Objects)
	if err != nil {
		return err
	}
	m, err := newMetadata(guests)
	if err != nil {
		return err
	}
	// What answers with a TTL of 1 reaches the guest itself and nobody for whom
	// it forwards.
	near := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, 1)
		}), err)
	}}
	l, err := near.Listen(context.Background(), "tcp4", metadataAddress)
	if err != nil {
		return err
	}
	failed := make(chan error)
	// A socket for each address, so that an answer comes from the one asked.
	for _, a := range []netip.Addr{netip.MustParseAddr(dnsAddress), resolver} {
		c, err := near.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(a, dnsPort).String())
		if err != nil {
			return err
		}
		go func() { failed <- serveDNS(c, guests) }()
	}
	server := http.Server{Handler: m.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute}
	go func() { failed <- server.Serve(l) }()
	fmt.Println("services: metadata at", metadataAddress, "and DNS at", dnsAddress, "and", resolver)
	return <-failed
}
