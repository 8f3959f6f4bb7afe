package simport

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// pcapngMagic begins a pcapng file: its section header block.
var pcapngMagic = []byte{0x0a, 0x0d, 0x0d, 0x0a}

// maxFrame is the longest frame that is read from or noted in a file.
const maxFrame = 1 << 16

// ReadPcap reads all frames of a pcap or pcapng stream of Ethernet. A frame
// that was captured in part is an error: what it was cannot be sent.
func ReadPcap(r io.Reader) ([][]byte, error) {
	b := bufio.NewReader(r)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("pcap: read magic number: %w", noEOF(err))
	}
	var src interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	if bytes.Equal(magic, pcapngMagic) {
		src, err = pcapgo.NewNgReader(b, pcapgo.DefaultNgReaderOptions)
	} else {
		src, err = pcapgo.NewReader(b)
	}
	if err != nil {
		return nil, fmt.Errorf("pcap: read header: %w", noEOF(err))
	}
	if t := src.LinkType(); t != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("pcap: link type %v, want Ethernet", t)
	}
	var frames [][]byte
	for {
		data, info, err := src.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return nil, fmt.Errorf("pcap: read frame %d: %w", len(frames)+1, err)
		}
		if info.Length > len(data) || len(data) > maxFrame {
			return nil, fmt.Errorf("pcap: frame %d has %d bytes, of which %d were captured", len(frames)+1, info.Length, len(data))
		}
		frames = append(frames, bytes.Clone(data))
	}
}

// ReadPcapFile reads all frames of a pcap or pcapng file.
func ReadPcapFile(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	frames, err := ReadPcap(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return frames, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Replay returns a source of frames, once through, or for ever if loop is set.
// A frame longer than the pool's slots makes it panic.
func Replay(frames [][]byte, loop bool) Source {
	at := 0
	return func(buf []byte) int {
		if at == len(frames) {
			if !loop || at == 0 {
				return 0
			}
			at = 0
		}
		f := frames[at]
		if len(f) > len(buf) {
			panic(fmt.Sprintf("simport: frame of %d bytes for slots of %d", len(f), len(buf)))
		}
		at++
		return copy(buf, f)
	}
}

// PcapWriter writes frames to a pcap file.
//
// Thread-safety: belongs to one goroutine; as a sink, to one lcore.
type PcapWriter struct {
	w   *pcapgo.Writer
	now func() time.Time
	err error
}

// NewPcapWriter writes the file's header to w. now gives the frames their
// times; tests own the clock.
func NewPcapWriter(w io.Writer, now func() time.Time) (*PcapWriter, error) {
	p := &PcapWriter{w: pcapgo.NewWriterNanos(w), now: now}
	if err := p.w.WriteFileHeader(maxFrame, layers.LinkTypeEthernet); err != nil {
		return nil, fmt.Errorf("pcap: write header: %w", err)
	}
	return p, nil
}

// Sink writes one frame; it is a Sink, and fits Port.Drain too. After an error
// it writes nothing more: see Err.
func (p *PcapWriter) Sink(frame []byte) {
	if p.err != nil {
		return
	}
	info := gopacket.CaptureInfo{Timestamp: p.now(), CaptureLength: len(frame), Length: len(frame)}
	if err := p.w.WritePacket(info, frame); err != nil {
		p.err = fmt.Errorf("pcap: write frame: %w", err)
	}
}

// Err returns the first error of writing.
func (p *PcapWriter) Err() error { return p.err }
