// Package simport gives the pipeline ports without DPDK: frames that a test
// injects, that a source generates, or that a pcap file holds go in, and what
// the pipeline sends is drained, checked, or written to a file. So most tests
// need neither root nor hugepages, and run under the race detector.
//
//	pool := simport.NewPool(4096, 2048)
//	defer pool.Close()
//	port := simport.NewPort(pool, simport.PortConfig{})
//	io := simport.NewIO(pool, []simport.Queue{{Port: port}})
//	port.Inject(0, frame)
//	...an lcore polls io...
//	port.Drain(0, func(frame []byte) { ... })
//
// Every packet is watched: one that is freed or sent twice, or by who does not
// own it, panics on the spot, with the handle and what became of it before;
// what is never given back is found by Pool.Leaks.
//
// Thread-safety: an IO belongs to one lcore. A receive queue has one injecting
// goroutine at a time and is polled by one IO; a transmit queue is sent to by
// one IO and drained by one goroutine at a time. Different queues, and the two
// ends of one, are independent. The pool is safe for all of them.
//
// Limits: packets lie in one slot each; several segments are only said to
// exist (see Port.InjectSplit). A queue that has no room refuses, as a device
// does; nothing blocks, except IO.Idle.
package simport
