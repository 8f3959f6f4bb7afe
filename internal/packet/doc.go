// Package packet knows the wire formats that nitrod meets: views of headers,
// Internet checksums, the answers that nitrod gives itself (ARP, neighbour
// discovery, DHCPv4), and builders and printers for tests and tools.
//
// Views are byte slices with methods (IPv4Header, TCPHeader, ...). A view
// copies nothing and checks nothing: each type states from which length on its
// methods may be called. On anything shorter they panic, or read what lies
// behind in the same buffer. Whoever makes the view has checked the length, once.
//
// Builders have the bare names (Ether, IPv4, TCP, ...): Build puts them
// together to a frame, with lengths, protocol numbers and checksums filled.
//
// Numbers are in host order everywhere; the views convert.
//
// Thread-safety: nothing here has state. A view is as safe as its bytes.
//
// Limits: Build, Fragment, Locate, Summary and what returns strings are for
// tests, tools and the control side; they allocate. Everything else is free of
// allocations and fit for the hot path.
package packet
