package traffic

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"

	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Files returns the pcap files of the spec in dir: one from A to B, and for
// bidirectional kinds a second from B to A. Files that are not there yet are
// written; a file is complete or absent, also when the writer is interrupted.
func (s Spec) Files(dir string) ([]string, error) {
	if s.Flows < 1 || s.Flows > MaxFlows {
		return nil, fmt.Errorf("traffic: %d flows: want 1 to %d", s.Flows, MaxFlows)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("traffic: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("traffic: %w", err)
	}
	base := filepath.Join(dir, fmt.Sprintf("%s-%d-%s", s.Kind, s.Flows, s.fingerprint()))
	files := []string{base + "-ab.pcap"}
	if s.Kind.Bidirectional() {
		files = append(files, base+"-ba.pcap")
	}
	for i, name := range files {
		if _, err := os.Stat(name); err == nil {
			continue
		}
		if err := s.write(name, i == 1); err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (s Spec) write(name string, reply bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".frames-*")
	if err != nil {
		return fmt.Errorf("traffic: %w", err)
	}
	defer func() {
		f.Close() // a second close after success is harmless
		if err != nil {
			os.Remove(f.Name())
		}
	}()

	buffered := bufio.NewWriterSize(f, 1<<20)
	w := pcapgo.NewWriter(buffered)
	if err := w.WriteFileHeader(65535, layers.LinkTypeEthernet); err != nil {
		return fmt.Errorf("traffic: %s: %w", name, err)
	}
	for _, i := range s.Order(reply) {
		frame, err := s.Frame(s.Flow(i), reply)
		if err != nil {
			return err
		}
		info := gopacket.CaptureInfo{Timestamp: time.Unix(0, 0), CaptureLength: len(frame), Length: len(frame)}
		if err := w.WritePacket(info, frame); err != nil {
			return fmt.Errorf("traffic: %s: %w", name, err)
		}
	}
	if err := buffered.Flush(); err != nil {
		return fmt.Errorf("traffic: %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("traffic: %s: %w", name, err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("traffic: %w", err)
	}
	return nil
}
