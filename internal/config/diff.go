package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nitrod/nitrod/policy"
)

// Change is one difference between two configuration files.
type Change struct {
	Pos    policy.Pos `json:"-"`      // in the new file; of what was removed, in the old one
	What   ChangeKind `json:"what"`   // of Object or, where there is a key, of the value in it
	Object string     `json:"object"` // such as `ENI "web"`, or a section such as `host`
	// Key is the key whose value differs, such as `mtu` or `inbound rule 100,
	// ports`; empty where the whole object was added or removed.
	Key  string `json:"key,omitempty"`
	From string `json:"from,omitempty"` // the value as one would write it
	To   string `json:"to,omitempty"`
	// Restart says that a running nitrod cannot take it up: it is about what
	// was made at the start.
	Restart bool `json:"restart"`
}

// ChangeKind is what happened to a thing.
type ChangeKind string

// The kinds of changes.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// String is the change in one line, without its position.
func (c *Change) String() string {
	subject := c.Object
	if c.Key != "" {
		subject += ", " + c.Key
	}
	switch {
	case c.What == Changed:
		return subject + ": " + c.From + " -> " + c.To
	case c.Key == "":
		return subject + " " + string(c.What)
	case c.What == Added:
		return subject + " added: " + c.To
	}
	return subject + " removed: " + c.From
}

// Diff tells how new differs from old: object by object in the order of the
// schema, each by its id, and key by key. Defaults count as if they were
// written, and what only looks different, as `5d` and `120h` do, is no change.
func Diff(old, new *Config) []Change {
	x := differ{d: newDecoder("")}
	o, n := reflect.ValueOf(&old.doc).Elem(), reflect.ValueOf(&new.doc).Elem()
	for _, f := range x.d.fieldsOf(o.Type()) {
		if f.isList {
			x.objects(&f, o.Field(f.index), n.Field(f.index))
			continue
		}
		// Sections size what is made at the start.
		x.object, x.restart, x.pos = f.key, true, policy.Pos{File: new.File}
		x.keys("", o.Field(f.index), n.Field(f.index))
	}
	return x.out
}

type differ struct {
	d   *decoder // for the schema's fields
	out []Change

	object  string // that is being compared
	pos     policy.Pos
	restart bool // every key of it needs a restart
}

func (x *differ) add(what ChangeKind, key, from, to string, restart bool) {
	x.out = append(x.out, Change{x.pos, what, x.object, key, from, to, restart})
}

// objects compares two lists of objects with ids.
func (x *differ) objects(f *field, old, new reflect.Value) {
	before := make(map[string]reflect.Value, old.Len())
	for i := range old.Len() {
		before[idOf(old.Index(i))] = old.Index(i)
	}
	hasPort := made(f.typ.Elem())
	x.restart = false
	kept := make(map[string]bool, new.Len())
	for i := range new.Len() {
		v := new.Index(i)
		id := idOf(v)
		kept[id] = true
		x.object, x.pos = f.noun+" "+strconv.Quote(id), posOf(v)
		if was, ok := before[id]; ok {
			x.keys("", was, v)
		} else {
			x.add(Added, "", "", "", hasPort)
		}
	}
	for i := range old.Len() {
		if id := idOf(old.Index(i)); !kept[id] {
			x.object, x.pos = f.noun+" "+strconv.Quote(id), posOf(old.Index(i))
			x.add(Removed, "", "", "", false)
		}
	}
}

// made reports whether objects of a type have a port, which is made at the
// start.
func made(t reflect.Type) bool {
	f, ok := t.FieldByName("Port")
	return ok && f.Type == reflect.TypeFor[*Port]()
}

// madeKeys are the keys of an object with a port that its port was made for.
var madeKeys = map[string]bool{"port": true, "queues": true, "mtu": true}

// queueKeys are the keys of ENIs and instances with which the choice of receive
// queues begins.
var queueKeys = map[string]bool{"rss": true, "rebalance": true, "steering": true, "vcpus": true}

func idOf(v reflect.Value) string {
	if id := v.FieldByName("ID"); id.IsValid() {
		return id.String()
	}
	return ""
}

func posOf(v reflect.Value) policy.Pos {
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		return pos.Interface().(policy.Pos)
	}
	return policy.Pos{}
}

// keys compares two structs key by key; in names what they are a part of.
func (x *differ) keys(in string, old, new reflect.Value) {
	for _, f := range x.d.fieldsOf(old.Type()) {
		a, b := old.Field(f.index), new.Field(f.index)
		key := f.key
		if in != "" {
			key = in + ", " + f.key
		}
		restart := x.restart || in == "" && (made(old.Type()) && madeKeys[f.key] || queueKeys[f.key]) || in == "pacing" && f.key == "packets"
		switch {
		case f.isList && f.codec == nil:
			outer := x.restart
			x.restart = restart
			x.parts(&f, key, a, b)
			x.restart = outer
		case f.isList:
			x.list(key, a, b, restart)
		case f.codec == nil:
			outer := x.restart
			x.restart = restart
			x.nested(key, a, b)
			x.restart = outer
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			x.add(Changed, key, shownIn(old, a), shownIn(new, b), restart)
		}
	}
}

// nested compares two objects inside another one, which may be absent.
func (x *differ) nested(key string, old, new reflect.Value) {
	if old.Kind() == reflect.Pointer {
		from, to := x.written(old), x.written(new)
		switch {
		case from == to:
		case old.IsNil():
			x.add(Added, key, "", to, x.restart)
		case new.IsNil():
			x.add(Removed, key, from, "", x.restart)
		default:
			x.keys(key, old.Elem(), new.Elem())
		}
		return
	}
	x.keys(key, old, new)
}

// parts compares two lists of objects without ids of their own, such as rules:
// by what tells them apart, or by all that they say.
func (x *differ) parts(f *field, key string, old, new reflect.Value) {
	noun := f.noun
	before := make(map[string][]reflect.Value)
	for i := range old.Len() {
		name := x.partName(old.Index(i))
		before[name] = append(before[name], old.Index(i))
	}
	for i := range new.Len() {
		v := new.Index(i)
		name := x.partName(v)
		was := before[name]
		if len(was) == 0 {
			x.at(v, func() { x.add(Added, noun, "", x.written(v), x.restart) })
			continue
		}
		before[name] = was[1:]
		x.at(v, func() { x.keys(noun+" "+name, was[0], v) })
	}
	for i := range old.Len() {
		v := old.Index(i)
		name := x.partName(v)
		if was := before[name]; len(was) != 0 {
			before[name] = was[1:]
			x.at(was[0], func() { x.add(Removed, noun, x.written(was[0]), "", x.restart) })
		}
	}
}

// at calls f with the position of a part.
func (x *differ) at(v reflect.Value, f func()) {
	outer := x.pos
	if p := posOf(v); p != (policy.Pos{}) {
		x.pos = p
	}
	f()
	x.pos = outer
}

// partName is what tells a part of a list from the others.
func (x *differ) partName(v reflect.Value) string {
	switch p := v.Addr().Interface().(type) {
	case *aclRuleDoc:
		return strconv.Itoa(p.Rule)
	case *steerDoc:
		return "at location " + strconv.Itoa(p.Location)
	case *lcoreSteerDoc:
		return "at location " + strconv.Itoa(p.Location)
	case *routeDoc:
		return "to " + p.Destination.String()
	case *sgRuleDoc:
		if p.ID != "" {
			return strconv.Quote(p.ID)
		}
	}
	return x.written(v)
}

// list compares two lists of single values. Their order matters only where
// they hold the same.
func (x *differ) list(key string, old, new reflect.Value, restart bool) {
	a, b := texts(old), texts(new)
	if slices.Equal(a, b) {
		return
	}
	gone := slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
	come := slices.DeleteFunc(slices.Clone(b), func(s string) bool { return slices.Contains(a, s) })
	switch {
	case len(gone) == 0 && len(come) == 0:
		x.add(Changed, "order of "+key, strings.Join(a, ", "), strings.Join(b, ", "), restart)
	case len(gone) == 0:
		x.add(Added, key, "", strings.Join(come, ", "), restart)
	case len(come) == 0:
		x.add(Removed, key, strings.Join(gone, ", "), "", restart)
	default:
		x.add(Changed, key, strings.Join(gone, ", "), strings.Join(come, ", "), restart)
	}
}

func texts(list reflect.Value) []string {
	out := make([]string, list.Len())
	for i := range out {
		out[i] = shownValue(list.Index(i))
	}
	return out
}

// written is an object in one line as one would write it, without the keys that
// have their defaults. One that is absent looks like one without keys, which is
// what it means.
func (x *differ) written(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "{}"
		}
		v = v.Elem()
	}
	plain := reflect.New(v.Type()).Elem()
	x.d.applyDefaults(plain)
	var parts []string
	for _, f := range x.d.fieldsOf(v.Type()) {
		a := v.Field(f.index)
		if reflect.DeepEqual(a.Interface(), plain.Field(f.index).Interface()) {
			continue
		}
		text := ""
		switch {
		case f.isList && f.codec == nil:
			items := make([]string, a.Len())
			for i := range items {
				items[i] = x.written(a.Index(i))
			}
			text = "[" + strings.Join(items, ", ") + "]"
		case f.isList:
			text = "[" + strings.Join(texts(a), ", ") + "]"
		case f.codec == nil:
			text = x.written(a)
		default:
			text = shownValue(a)
		}
		parts = append(parts, f.key+": "+text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// shownIn writes a single value of an object. Only rules for tcp and udp have
// ports.
func shownIn(object, v reflect.Value) string {
	if v.Type() == reflect.TypeFor[portRange]() {
		switch object.FieldByName("Protocol").Int() {
		case policy.ProtoTCP, policy.ProtoUDP:
		default:
			return "none"
		}
	}
	return shownValue(v)
}

// shownValue writes a single value as it stands in a file.
func shownValue(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case mac:
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", x[0], x[1], x[2], x[3], x[4], x[5])
	case protocol:
		for _, name := range []string{"tcp", "udp", "icmp", "icmpv6", "all"} {
			if p, _ := parseProtocol(name); p == x {
				return name
			}
		}
		return strconv.Itoa(int(x))
	case portRange:
		switch {
		case x == allPorts:
			return "all"
		case x.from == x.to:
			return strconv.Itoa(x.from)
		}
		return strconv.Itoa(x.from) + "-" + strconv.Itoa(x.to)
	case icmpValue:
		if x < 0 {
			return "all"
		}
		return strconv.Itoa(int(x))
	case target:
		switch x.kind {
		case policy.TargetLocal:
			return "local"
		case policy.TargetBlackhole:
			return "blackhole"
		case policy.TargetENI:
			return "eni:" + x.id
		}
		return "gateway:" + x.id
	case LcoreSpec:
		if x.Count == 0 {
			return strings.Join(strings.Fields(fmt.Sprint(x.CPUs)), ", ")
		}
		return strconv.Itoa(x.Count)
	case netip.Prefix:
		if !x.IsValid() {
			return "none"
		}
	case netip.Addr:
		if !x.IsValid() {
			return "none"
		}
	case time.Duration:
		text := strings.TrimSuffix(x.String(), "m0s")
		if len(text) != len(x.String()) {
			text += "m"
		}
		if hours, ok := strings.CutSuffix(text, "h0m"); ok {
			text = hours + "h"
		}
		return text
	}
	if v.Kind() == reflect.String {
		if v.String() == "" {
			return "none"
		}
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}
