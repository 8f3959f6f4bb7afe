package instancetype

import (
	"strings"
	"testing"
)

// What the table says can be so.
func TestTable(t *testing.T) {
	all, err := parse(text)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := range all {
		x := &all[i]
		if seen[x.Name] || strings.Count(x.Name, ".") != 1 {
			t.Errorf("%s is there twice, or is no name", x.Name)
		}
		seen[x.Name] = true
		if x.Nitro.N < 2 || x.Nitro.N > 6 || x.VCPUs.N == 0 || x.Queues.N == 0 || x.Baseline.N == 0 {
			t.Errorf("%s lacks what every type has: %+v", x.Name, x)
		}
		if x.Baseline.N > x.Burst.N {
			t.Errorf("%s bursts below its baseline", x.Name)
		}
		if x.Queues.N > x.VCPUs.N || x.MaxQueues.N != 0 && x.MaxQueues.N < x.Queues.N || x.TotalQueues.N != 0 && x.TotalQueues.N < x.MaxQueues.N {
			t.Errorf("%s: queues %d of at most %d, %d together, at %d vCPUs", x.Name, x.Queues.N, x.MaxQueues.N, x.TotalQueues.N, x.VCPUs.N)
		}
		if (x.ENIs.N == 0) != (x.Addresses.N == 0) {
			t.Errorf("%s has %d ENIs and %d addresses", x.Name, x.ENIs.N, x.Addresses.N)
		}
		if Lookup(x.Name) == nil || Lookup(x.Name).Name != x.Name {
			t.Errorf("Lookup(%q) = %v", x.Name, Lookup(x.Name))
		}
	}
	if len(all) != len(All()) || len(all) < 100 {
		t.Errorf("%d types, of which All returns %d", len(all), len(All()))
	}
}

// Some rows as AWS publishes them.
func TestLookup(t *testing.T) {
	published := func(n int) Figure { return Figure{N: n} }
	ours := func(n int) Figure { return Figure{n, true} }
	for _, want := range []Type{
		{"c6i.large", published(4), published(2), published(781), published(12500), published(2), published(2), published(6), published(3), published(10)},
		{"c7i.large", published(4), published(2), published(781), published(12500), ours(2), Figure{}, Figure{}, ours(3), ours(10)},
		{"m5.24xlarge", published(2), published(96), published(25000), published(25000), published(8), Figure{}, Figure{}, ours(15), ours(50)},
		{"c8i.96xlarge", published(6), published(384), published(100000), published(100000), published(32), published(128), published(1536), published(24), published(64)},
	} {
		if got := Lookup(want.Name); got == nil || *got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := Lookup("c7i.lrge"); got != nil {
		t.Errorf("there is a type %+v", got)
	}
	if got := Lookup("m5.24xlarge").PacketsSecond(); got != 2_200_000 {
		t.Errorf("m5.24xlarge takes %d packets a second", got)
	}
	if baseline, burst := Lookup("t3.nano").BitsSecond(); baseline != 32e6 || burst != 5e9 {
		t.Errorf("t3.nano has %d and %d bits a second", baseline, burst)
	}
	for name, want := range map[string]uint64{
		"t3.nano": 5e9, "c7i.4xlarge": 5e9, "c7i.8xlarge": 6.25e9, "m5.24xlarge": 12.5e9, "c8in.large": 3.125e9, "c6in.large": 5e9,
	} {
		if got := Lookup(name).InternetBitsSecond(); got != want {
			t.Errorf("%s has %d bits a second to the internet, want %d", name, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"a.b 1 2 3":              "table.txt:2: a.b has 4 columns, not 10",
		"a.b 1 2 3 4 5 6 7 8 x":  `table.txt:2: a.b has the figure "x"`,
		"a.b 1 2 3 0 5 6 7 8 9":  `table.txt:2: a.b has the figure "0"`,
		"a.b 1 2 3 4 -~ 6 7 8 9": `table.txt:2: a.b has the figure "-~"`,
	} {
		if _, err := parse("# a comment\n" + line + "\n"); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", line, err, want)
		}
	}
}
