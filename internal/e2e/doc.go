// Package e2e holds the end-to-end tests: the real nitrod, built from this
// tree, between real guests. It has no code of its own.
//
// Every test starts a daemon of its own, in namespaces, with taps and a control
// socket whose names no other test has. Those of world_test.go run
// examples/world.yaml; all others testdata/two-guests.yaml.tmpl:
//
//	namespace nd<pid>n<N>web                      namespace nd<pid>n<N>app
//	10.0.1.10                                     10.0.2.10, 10.0.2.11
//	2001:db8:0:101::10                            2001:db8:0:102::10
//	     |                                             |
//	  tap web0                                      tap app0
//	     |                                             |
//	  ENI web --- subnet web --- router --- subnet app --- ENI app
//	  (every port out)        one daemon        (see the template)
//
// What a guest does is done by its kernel: commands run by "ip netns exec",
// sockets made on a thread inside the namespace. What nitrod says about it is
// read through its own subcommands.
//
// Nothing here depends on how fast the machine is: what is waited for is
// polled until a deadline that only a hanging daemon meets.
package e2e
