package config

import (
	"reflect"
	"strconv"
	"testing"

	"github.com/nitrod/nitrod/internal/pktio"
	"github.com/nitrod/nitrod/policy"
)

// everyField visits the fields of t and of the objects in it.
func everyField(t reflect.Type, visit func(owner reflect.Type, f field)) {
	for _, f := range fieldsOf(t) {
		visit(t, f)
		if f.codec != nil {
			continue
		}
		child := f.typ
		if child.Kind() == reflect.Pointer || child.Kind() == reflect.Slice {
			child = child.Elem()
		}
		everyField(child, visit)
	}
}

// A slip in a tag must not wait for a user to find it.
func TestSchemaTags(t *testing.T) {
	n := 0
	everyField(reflect.TypeFor[document](), func(owner reflect.Type, f field) {
		n++
		where := owner.Name() + "." + f.goName
		sf, _ := owner.FieldByName(f.goName)
		if as := sf.Tag.Get("as"); as != "" && byName[as] == nil {
			t.Errorf("%s: no codec is called %q", where, as)
		}
		elem := f.typ
		if elem.Kind() == reflect.Pointer || elem.Kind() == reflect.Slice {
			elem = elem.Elem()
		}
		if f.codec == nil {
			if elem.Kind() != reflect.Struct {
				t.Errorf("%s: no codec for %v", where, f.typ)
			}
			if f.hasDefault || f.min != "" || f.max != "" || f.step != "" {
				t.Errorf("%s: an object has no default and no bounds", where)
			}
			return
		}
		for _, text := range []string{f.min, f.max, f.step} {
			if _, ok := f.codec.parse(text); text != "" && !ok {
				t.Errorf("%s: bad bound %q", where, text)
			}
		}
		if !f.hasDefault {
			return
		}
		v, ok := f.codec.parse(f.defaults)
		if !ok {
			t.Fatalf("%s: bad default %q", where, f.defaults)
		}
		if f.required {
			t.Errorf("%s: a required key needs no default", where)
		}
		if want := f.bound(v); want != "" {
			t.Errorf("%s: the default %s is not %s", where, f.defaults, want)
		}
		if v.Type() != f.typ {
			t.Errorf("%s: the default is a %v, not a %v", where, v.Type(), f.typ)
		}
	})
	if n < 80 {
		t.Errorf("only %d keys were visited", n)
	}
}

// The codecs' bounds and the packages that they speak for must agree.
func TestSchemaAgreesWithOthers(t *testing.T) {
	for _, f := range fieldsOf(reflect.TypeFor[Host]()) {
		if f.key == "burst" && f.max != strconv.Itoa(pktio.MaxBurst) {
			t.Errorf("burst is at most %s, but pktio.MaxBurst is %d", f.max, pktio.MaxBurst)
		}
	}
	for text, want := range map[string]protocol{"tcp": policy.ProtoTCP, "udp": policy.ProtoUDP, "icmp": policy.ProtoICMP, "icmpv6": policy.ProtoICMPv6, "all": policy.ProtoAll} {
		if got, ok := parseProtocol(text); !ok || got != want {
			t.Errorf("protocol %s is %d, want %d", text, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	sections := map[string]Section{}
	for _, s := range Describe() {
		sections[s.Path] = s
	}
	if s := sections["enis[].port.tap"]; s.GoType != "Tap" || len(s.Keys) != 4 || !s.Keys[0].Required {
		t.Errorf("the section of taps is %+v", s)
	}
	for _, s := range sections {
		for _, k := range s.Keys {
			if _, ok := sections[k.Section]; !ok {
				t.Errorf("%s.%s leads to %q, which is not described", s.Path, k.Name, k.Section)
			}
		}
	}
}
