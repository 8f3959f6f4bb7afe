package scenario

import (
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/nitrod/nitrod/internal/drop"
	"github.com/nitrod/nitrod/pipeline"
)

// compareCounters compares counters after the step.
func (r *run) compareCounters(st *step) {
	if !st.Counters.given {
		return
	}
	have := r.counters()
	for _, c := range st.Counters.all {
		got, ok := have[c.name]
		if !ok {
			var names []string
			for name := range have {
				names = append(names, name)
			}
			slices.Sort(names)
			r.broken(c.line, c.column, "there is no counter %q; there are %s", c.name, strings.Join(names, ", "))
		}
		if got != c.n {
			r.fail(c.line, nil, "%s is %d, want %d", c.name, got, c.n)
		}
	}
}

// byPath are the counters that depend on how packets are decided, and which a
// scenario therefore asks for under flow_cache or not at all.
var byPath = []string{"Rounds", "BusyNS", "FlowHits", "SlowPath", "Waited", "Evicted", "HandOver", "FlowsLive"}

// names of counters that are not those of their fields.
var renamed = map[string]string{"SessionsLive": "sessions", "Sessions": "sessions_begun", "Expired": "sessions_expired"}

// counters are all counters by name: those of pipeline.Stats and, behind the
// name of an ENI and a slash, of pipeline.ENICounts, in snake case; and the
// allowances of each instance.
func (r *run) counters() map[string]int64 {
	out := map[string]int64{}
	total := r.engine.Total()
	addFields(out, "", reflect.ValueOf(total))
	out["dropped"] = int64(total.Dropped())
	for reason := range total.Drops {
		out["drops/"+drop.Reason(reason).String()] = int64(total.Drops[reason])
	}
	out["conntrack_allowance_exceeded"] = int64(total.Drops[drop.ConntrackAllowanceExceeded])
	for i := range r.snap.ENIs {
		if id := r.snap.ENI(uint16(i)).ID; id != "" {
			addFields(out, id+"/", reflect.ValueOf(r.engine.ENI(uint16(i))))
			for k, c := range r.engine.Limited(uint16(i)) {
				name := id + "/limit_" + pipeline.LimitKind(k).String()
				out[name+"_queued"], out[name+"_dropped"] = int64(c.Queued), int64(c.Dropped)
			}
		}
	}
	for i := range r.snap.NumInstances() {
		id := r.snap.Instance(uint16(i)).ID
		out["conntrack_used/"+id] = r.engine.Allowances().Used(uint16(i))
		if n, limited := r.engine.Allowances().Available(uint16(i)); limited {
			out["conntrack_allowance_available/"+id] = n
		}
	}
	return out
}

func addFields(out map[string]int64, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type.Kind() != reflect.Uint64 || slices.Contains(byPath, f.Name) {
			continue
		}
		name := snake(f.Name)
		if other, ok := renamed[f.Name]; ok {
			name = other
		}
		out[prefix+name] = int64(v.Field(i).Uint())
	}
}

// snake writes RxPackets as rx_packets, and PPSExceeded as pps_exceeded.
func snake(s string) string {
	var b strings.Builder
	rs := []rune(s)
	for i, c := range rs {
		if unicode.IsUpper(c) && i > 0 && (unicode.IsLower(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
