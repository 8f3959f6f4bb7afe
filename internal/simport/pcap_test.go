package simport

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/nitrod/nitrod/internal/packet/check"
)

var noon = func() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// From a file through a port, and into a file again.
func TestPcapRoundTrip(t *testing.T) {
	want := [][]byte{udpFrame(1, 60), udpFrame(2, 1500), udpFrame(3, 64)}
	path := filepath.Join(t.TempDir(), "in.pcap")
	var in bytes.Buffer
	w, err := NewPcapWriter(&in, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range want {
		w.Sink(f)
	}
	if err := w.Err(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, in.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	frames, err := ReadPcapFile(path)
	if err != nil {
		t.Fatal(err)
	}

	pool := newPool(t, 64, 0)
	var out bytes.Buffer
	w, err = NewPcapWriter(&out, noon)
	if err != nil {
		t.Fatal(err)
	}
	src := NewPort(pool, PortConfig{Source: func(int) Source { return Replay(frames, false) }})
	dst := NewPort(pool, PortConfig{Sink: func(int) Sink { return w.Sink }})
	f := newForwarder(t, NewIO(pool, []Queue{{Port: src}}), toPort(dst))
	for f.round() > 0 {
	}
	if !bytes.Equal(in.Bytes(), out.Bytes()) {
		t.Error("the files differ")
	}
	got, err := ReadPcap(&out)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	for i := range got {
		check.Equal(t, got[i], want[i])
	}
	checkEmpty(t, pool)
}

func TestPcapNG(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, layers.LinkTypeEthernet)
	if err != nil {
		t.Fatal(err)
	}
	frame := udpFrame(1, 77)
	if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: noon(), CaptureLength: 77, Length: 77}, frame); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadPcap(&b)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d frames, %v", len(got), err)
	}
	check.Equal(t, got[0], frame)
}

func TestPcapRefuses(t *testing.T) {
	file := func(link layers.LinkType, caplen, length int) []byte {
		var b bytes.Buffer
		w := pcapgo.NewWriter(&b)
		if err := w.WriteFileHeader(maxFrame, link); err != nil {
			t.Fatal(err)
		}
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: noon(), CaptureLength: caplen, Length: length}, make([]byte, caplen)); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	good := file(layers.LinkTypeEthernet, 60, 60)
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "magic number: unexpected EOF", nil},
		{"no pcap", "read header", []byte("what is this, certainly no pcap")},
		{"header cut", "read header", good[:10]},
		{"frame cut", "read frame 1", good[:len(good)-1]},
		{"captured in part", "of which 60 were captured", file(layers.LinkTypeEthernet, 60, 61)},
		{"not Ethernet", "link type", file(layers.LinkTypeRaw, 60, 60)},
	} {
		if _, err := ReadPcap(bytes.NewReader(c.data)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := ReadPcapFile(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// FuzzReadPcap: a file may be refused, and what is read can be sent.
func FuzzReadPcap(f *testing.F) {
	var b bytes.Buffer
	w, err := NewPcapWriter(&b, noon)
	if err != nil {
		f.Fatal(err)
	}
	w.Sink(udpFrame(1, 60))
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		frames, err := ReadPcap(bytes.NewReader(data))
		if err != nil && frames != nil {
			t.Fatal("frames together with an error")
		}
		for _, frame := range frames {
			if len(frame) > maxFrame {
				t.Fatalf("frame of %d bytes", len(frame))
			}
		}
	})
}

func TestReplay(t *testing.T) {
	buf := make([]byte, 64)
	once, forever, empty := Replay([][]byte{{1}, {2}}, false), Replay([][]byte{{1}, {2}}, true), Replay(nil, true)
	for i, want := range []byte{1, 2, 0, 0} {
		if n := once(buf); (n == 1) != (want != 0) || n == 1 && buf[0] != want {
			t.Errorf("once, call %d: %d bytes, first %d", i, n, buf[0])
		}
	}
	for i, want := range []byte{1, 2, 1, 2} {
		if n := forever(buf); n != 1 || buf[0] != want {
			t.Errorf("for ever, call %d: %d bytes, first %d", i, n, buf[0])
		}
	}
	if empty(buf) != 0 {
		t.Error("nothing gave something")
	}
}

// failingWriter takes the header and nothing more.
type failingWriter struct{ n int }

func (w *failingWriter) Write(b []byte) (int, error) {
	if w.n++; w.n > 1 {
		return 0, os.ErrClosed
	}
	return len(b), nil
}

func TestPcapWriterKeepsError(t *testing.T) {
	fw := &failingWriter{}
	w, err := NewPcapWriter(fw, noon)
	if err != nil {
		t.Fatal(err)
	}
	w.Sink(udpFrame(1, 60))
	w.Sink(udpFrame(1, 60))
	if w.Err() == nil || fw.n != 2 {
		t.Errorf("error %v after %d writes", w.Err(), fw.n)
	}
	if _, err := NewPcapWriter(&failingWriter{n: 1}, noon); err == nil {
		t.Error("a header that could not be written is no error")
	}
}
