package policy

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/nitrod/nitrod/internal/drop"
)

// mangle changes a configuration as the tape says, three bytes per change: two
// choose a value among all that it holds, one what becomes of it.
func mangle(o *Objects, tape []byte) {
	for len(tape) >= 3 {
		var values []reflect.Value
		collect(reflect.ValueOf(o).Elem(), &values)
		change(values[(int(tape[0])<<8|int(tape[1]))%len(values)], int(tape[2]))
		tape = tape[3:]
	}
}

func collect(v reflect.Value, out *[]reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr, netip.Prefix:
		*out = append(*out, v)
		return
	case Pos:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			collect(v.Field(i), out)
		}
	case reflect.Slice:
		*out = append(*out, v)
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			collect(v.Index(i), out)
		}
	default:
		*out = append(*out, v)
	}
}

var (
	oddInts  = []int{math.MinInt, -2, -1, 0, 1, 8, 80, 255, 256, 1280, 9001, 32766, 32767, 65535, 65536, math.MaxInt}
	oddIDs   = []string{"", " ", "\xff", "ünknown", "web", "app", "fw", "vpc-1", "vpc-2", "rt-web", "rt-main", "acl-web", "acl-app", "sg-web", "sg-app", "sg-fw", "offices", "i-web", "other"}
	oddAddrs = []netip.Addr{
		{}, ip("0.0.0.0"), ip("255.255.255.255"), ip("::"), ip("fe80::1%zone"), ip("::ffff:10.0.1.10"), ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
		ip("10.0.1.1"), ip("10.0.1.33"), ip("10.0.2.0"), ip("2001:db8:0:1::33"), ip("169.254.169.254"), ip("fd00:ec2::254"), ip("10.0.0.0"),
	}
)

func change(v reflect.Value, how int) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(oddAddrs[how%len(oddAddrs)]))
		return
	case netip.Prefix:
		bits := []int{-1, 0, 8, 16, 22, 24, 25, 28, 32, 48, 56, 64, 128}
		v.Set(reflect.ValueOf(netip.PrefixFrom(oddAddrs[how%len(oddAddrs)], bits[how%len(bits)])))
		return
	}
	switch v.Kind() {
	case reflect.Int:
		v.SetInt(int64(oddInts[how%len(oddInts)]))
	case reflect.Uint8:
		v.SetUint(uint64(how))
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.String:
		v.SetString(oddIDs[how%len(oddIDs)])
	case reflect.Slice:
		switch n := v.Len(); {
		case how%4 == 0:
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		case n == 0:
		case how%4 == 1:
			v.Set(v.Slice(0, n-1))
		case how%4 == 2:
			v.Set(v.Slice(1, n))
		default:
			v.Set(reflect.Append(v, v.Index(how%n)))
		}
	}
}

// compileAnything: Compile never panics. It returns either errors that say
// something, or a snapshot that decides as the model does.
func compileAnything(t rapid.TB, tape []byte) (ok bool) {
	prev, err := Compile(fixture(), nil)
	if err != nil {
		t.Fatal(err)
	}
	o := fixture()
	mangle(o, tape)
	s, err := Compile(o, prev)
	if err != nil {
		var es Errors
		if s != nil || !errors.As(err, &es) || len(es) == 0 {
			t.Fatalf("Compile = %v, %v", s, err)
		}
		for _, e := range es {
			if e.Msg == "" {
				t.Fatal("an error says nothing")
			}
		}
		return false
	}
	for i := range o.ENIs {
		for _, dst := range interesting {
			p := packet{eni: o.ENIs[i].ID, src: o.ENIs[i].Addresses[0], dst: ip(dst), proto: ProtoTCP, port: 80, routed: true}
			if p.src.Is4() != p.dst.Is4() {
				continue
			}
			var tr Trace
			d := s.Decide(queryOf(s, p), &tr)
			why, to := model{o}.decide(p)
			if d.Reason != why || why == drop.Unset && s.ENI(d.Egress).ID != to.ID {
				t.Fatalf("%+v: Decide %v, model %v\n%s", p, d.Reason, why, printTrace(&tr))
			}
		}
	}
	return true
}

func TestCompileAnything(t *testing.T) {
	right := 0
	rapid.Check(t, func(t *rapid.T) {
		tape := rapid.SliceOfN(rapid.Byte(), 3, 15).Draw(t, "tape")
		if compileAnything(t, tape) {
			right++
		}
	})
	if right == 0 {
		t.Error("no mangled configuration was still right: the test has tested errors only")
	}
}

func FuzzCompile(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, tape []byte) {
		compileAnything(t, tape[:min(len(tape), 60)])
	})
}
