// Package text is a language for packets that people read and write, in
// scenarios and in what they print:
//
//	web > app tcp 10.0.1.10:40000 > 10.0.2.10:80 S seq 0 win 64240 len 0 ttl 64
//	web > app udp 40000 > 53 len 20
//	web > app icmp echo request id 1 seq 1
//	web > 10.0.1.1 proto 47 len 8
//	web arp who has 10.0.1.1
//	app > web icmp type 3 code 1 quote (web > app udp 40000 > 9 len 4)
//	web raw 02 00 00 00 00 01
//
// Names are those of ENIs: of a packet that is sent they say the port, the
// MACs and the addresses, so that only what matters need be written. Every
// field can be written. Each word is described with the scenarios that use it.
//
// A packet is printed with all its fields, so that Parse of what Print wrote is
// the same frame, byte by byte; what the language has no words for is printed
// as raw bytes.
package text
