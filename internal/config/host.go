package config

import (
	"slices"
	"strconv"
	"strings"

	"github.com/nitrod/nitrod/policy"
)

// maxLcores is DPDK's own limit on lcores in the builds that distributions
// ship (RTE_MAX_LCORE).
const maxLcores = 128

// mbufOverhead is what a packet buffer costs besides its data: struct rte_mbuf,
// the headroom, and the mempool's object header. Alignment may add to it.
const mbufOverhead = 128 + 128 + 64

// LcoreSpec says which CPUs nitrod polls with: a number of the last ones it may
// run on, or a list. In a Config that was loaded, CPUs is the answer in both
// cases.
type LcoreSpec struct {
	Count int // 0 where a list was given
	CPUs  []int
}

// resolve picks the CPUs. The last ones are taken, since the first is where
// the machine's own work tends to be. checkHost has reported what is
// impossible.
func (l LcoreSpec) resolve(allowed []int) []int {
	if l.Count == 0 {
		return l.CPUs
	}
	return slices.Clone(allowed[len(allowed)-min(l.Count, len(allowed)):])
}

// refusedEAL maps arguments of DPDK that would contradict the file to the keys
// that stand for them.
var refusedEAL = map[string]string{
	"-c": "lcores", "-l": "lcores", "--lcores": "lcores", "--main-lcore": "lcores",
	"-m": "memory", "--socket-mem": "memory",
	"--no-huge": "hugepages",
}

func (d *decoder) checkHost(h *Host, cpus []int) {
	file := policy.Pos{File: d.file}
	d.checkLcores(&h.Lcores, cpus)
	each := h.DataRoom + mbufOverhead
	if h.Hugepages != HugepagesOn { // on ordinary pages no buffer lies across two
		each = roundUp(each, 4*KiB)
	}
	if need := Size(h.Mbufs) * each; need > h.Memory && d.ok(&h.Memory, &h.Mbufs, &h.DataRoom) {
		at := any(&h.Memory)
		if !d.given(at) {
			at = &h.Mbufs
		}
		if !d.given(at) {
			at = &h.DataRoom
		}
		d.fail(at, file, "memory in host is %v, but %d mbufs with a data_room of %v need at least %v", h.Memory, h.Mbufs, h.DataRoom, roundUp(need, MiB))
	}
	for i := range h.EAL {
		arg, _, _ := strings.Cut(h.EAL[i], "=")
		key, refused := refusedEAL[arg]
		if !refused && len(arg) > 2 && arg[1] != '-' { // -l2 is -l 2
			key, refused = refusedEAL[arg[:2]]
		}
		if refused {
			d.fail(&h.EAL[i], file, "eal in host must not have the argument %s; set the key %q instead", short(arg), key)
		}
	}
}

// checkCoalesce refuses what would contradict a polling mode or itself.
func (d *decoder) checkCoalesce(c *Coalesce, polling Polling) {
	file := policy.Pos{File: d.file}
	if polling == PollingSpin || polling == PollingBusy {
		switch {
		case c.RxUsecs != 0 && d.ok(&c.RxUsecs):
			d.fail(&c.RxUsecs, file, "rx_usecs in coalesce is %d, but an lcore with %q polling takes every packet at once; choose another polling in host", c.RxUsecs, polling)
		case c.AdaptiveRx == SwitchOn && d.ok(&c.AdaptiveRx):
			d.fail(&c.AdaptiveRx, file, "adaptive_rx in coalesce is on, but an lcore with %q polling takes every packet at once; choose another polling in host", polling)
		}
	}
	if c.AdaptiveRx == SwitchOn && c.RxUsecs != 0 && d.ok(&c.RxUsecs, &c.AdaptiveRx) {
		d.fail(&c.RxUsecs, file, "rx_usecs in coalesce is %d, but adaptive_rx is on, which finds the time itself; leave one of them out", c.RxUsecs)
	}
}

func (d *decoder) checkFragments(f *Fragments) {
	file := policy.Pos{File: d.file}
	if f.Lifetime < f.Hold && d.ok(&f.Hold, &f.Lifetime) {
		at := any(&f.Lifetime)
		if !d.given(at) {
			at = &f.Hold
		}
		d.fail(at, file, "lifetime in fragments is %v; it must be at least as long as hold, which is %v", f.Lifetime, f.Hold)
	}
	if f.DatagramsPerENI <= f.HeldPerENI && d.ok(&f.DatagramsPerENI, &f.HeldPerENI) {
		at := any(&f.HeldPerENI)
		if !d.given(at) {
			at = &f.DatagramsPerENI
		}
		d.fail(at, file, "held_per_eni in fragments is %d; it must be less than datagrams_per_eni, which is %d", f.HeldPerENI, f.DatagramsPerENI)
	}
}

func roundUp(s, unit Size) Size { return (s + unit - 1) / unit * unit }

func (d *decoder) checkLcores(l *LcoreSpec, allowed []int) {
	if !d.ok(l, &l.CPUs) {
		return
	}
	file := policy.Pos{File: d.file}
	wanted := max(l.Count, len(l.CPUs))
	switch {
	case wanted > len(allowed):
		d.fail(l, file, "lcores in host asks for %s, but nitrod may run on %s only: %s",
			counted(wanted, "lcore"), counted(len(allowed), "processor"), cpuList(allowed))
	case wanted > maxLcores:
		d.fail(l, file, "lcores in host asks for %d lcores, but DPDK knows at most %d", wanted, maxLcores)
	}
	first := map[int]bool{}
	for i := range l.CPUs {
		cpu := l.CPUs[i]
		switch {
		case first[cpu]:
			d.fail(&l.CPUs[i], file, "lcores in host lists CPU %d twice", cpu)
		case !slices.Contains(allowed, cpu):
			d.fail(&l.CPUs[i], file, "lcores in host lists CPU %d, but nitrod may run on %s only", cpu, cpuList(allowed))
		}
		first[cpu] = true
	}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}

// cpuList writes ascending CPU numbers as the kernel does: "CPUs 0-3,6".
func cpuList(cpus []int) string {
	if len(cpus) == 0 {
		return "none"
	}
	var b strings.Builder
	for i := 0; i < len(cpus); {
		end := i
		for end+1 < len(cpus) && cpus[end+1] == cpus[end]+1 {
			end++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpus[i]))
		if end > i {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(cpus[end]))
		}
		i = end + 1
	}
	if len(cpus) == 1 {
		return "CPU " + b.String()
	}
	return "CPUs " + b.String()
}
