package scenario

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/nitrod/nitrod/internal/config"
)

// line is one packet's or session's text, and where it stands.
type line struct {
	text         string
	line, column int
}

// lines are one text or a list of them. A block of text has one on each line.
type lines struct {
	given bool
	all   []line
}

// Take implements config.Value.
func (l *lines) Take(n *yaml.Node) (*yaml.Node, string) {
	const want = "a text, or a list of texts"
	l.given = true
	switch {
	case n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null":
		l.add(n)
	case n.Kind == yaml.SequenceNode:
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode || item.ShortTag() == "!!null" {
				return item, want
			}
			l.add(item)
		}
	default:
		return n, want
	}
	return nil, ""
}

func (l *lines) add(n *yaml.Node) {
	if n.Style&yaml.LiteralStyle == 0 {
		l.all = append(l.all, line{n.Value, n.Line, n.Column})
		return
	}
	for i, text := range strings.Split(n.Value, "\n") {
		if text = strings.TrimSpace(text); text != "" && text[0] != '#' {
			l.all = append(l.all, line{text, n.Line + 1 + i, 1})
		}
	}
}

// Kind implements config.Value.
func (l *lines) Kind() string { return "text, or list of texts" }

// is reports whether l is nothing but the word.
func (l *lines) is(word string) bool { return len(l.all) == 1 && l.all[0].text == word }

// pair is a name with a value, and where it stands.
type pair struct {
	name, value  string
	line, column int
}

// pairs are a mapping of names to single values.
type pairs struct {
	given bool
	all   []pair
}

// Take implements config.Value.
func (p *pairs) Take(n *yaml.Node) (*yaml.Node, string) {
	p.given = true
	if n.Kind != yaml.MappingNode {
		return n, "a mapping of names to values"
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind != yaml.ScalarNode || value.ShortTag() == "!!null" {
			return value, "a mapping of names to single values"
		}
		p.all = append(p.all, pair{key.Value, value.Value, key.Line, key.Column})
	}
	return nil, ""
}

// Kind implements config.Value.
func (p *pairs) Kind() string { return "mapping of names to values" }

// count is a name with a number, and where it stands.
type count struct {
	name         string
	n            int64
	line, column int
}

// counts are a mapping of names to numbers.
type counts struct {
	given bool
	all   []count
}

// Take implements config.Value.
func (c *counts) Take(n *yaml.Node) (*yaml.Node, string) {
	const want = "a mapping of names to whole numbers"
	c.given = true
	if n.Kind != yaml.MappingNode {
		return n, want
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		v, err := strconv.ParseInt(value.Value, 10, 64)
		if err != nil || v < 0 || value.Kind != yaml.ScalarNode {
			return value, want
		}
		c.all = append(c.all, count{key.Value, v, key.Line, key.Column})
	}
	return nil, ""
}

// Kind implements config.Value.
func (c *counts) Kind() string { return "mapping of names to numbers" }

// span is a time that may also be said to be none.
type span struct {
	given bool
	time.Duration
}

// Take implements config.Value.
func (s *span) Take(n *yaml.Node) (*yaml.Node, string) {
	d, err := time.ParseDuration(n.Value)
	if err != nil || d < 0 || n.Kind != yaml.ScalarNode {
		return n, "a duration with its unit, such as 350us or 0s"
	}
	s.given, s.Duration = true, d
	return nil, ""
}

// Kind implements config.Value.
func (s *span) Kind() string { return "duration" }

// rate is a name with a bandwidth, and where it stands.
type rate struct {
	name         string
	bits         config.BitRate
	line, column int
}

// rates are a mapping of names to bandwidths.
type rates struct {
	given bool
	all   []rate
}

// Take implements config.Value.
func (r *rates) Take(n *yaml.Node) (*yaml.Node, string) {
	const want = "a mapping of names to bandwidths with their unit, such as {app: 5gbps}"
	r.given = true
	if n.Kind != yaml.MappingNode {
		return n, want
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		bits, ok := config.ParseBitRate(value.Value)
		if !ok || value.Kind != yaml.ScalarNode {
			return value, want
		}
		r.all = append(r.all, rate{key.Value, bits, key.Line, key.Column})
	}
	return nil, ""
}

// Kind implements config.Value.
func (r *rates) Kind() string { return "mapping of names to bandwidths" }

// source is a configuration: a path, or the mapping itself.
type source struct {
	file string
	node *yaml.Node
	line int
}

func (s *source) given() bool { return s.node != nil }

// Take implements config.Value.
func (s *source) Take(n *yaml.Node) (*yaml.Node, string) {
	s.node, s.line = n, n.Line
	switch {
	case n.Kind == yaml.MappingNode:
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Value != "":
		s.file = n.Value
	default:
		return n, "the path of a configuration file, or a mapping as in one"
	}
	return nil, ""
}

// Kind implements config.Value.
func (s *source) Kind() string { return "path, or mapping" }

// mapping is YAML that is laid over a configuration.
type mapping struct{ node *yaml.Node }

// Take implements config.Value.
func (m *mapping) Take(n *yaml.Node) (*yaml.Node, string) {
	if m.node = n; n.Kind != yaml.MappingNode {
		return n, "a mapping as in a configuration file"
	}
	return nil, ""
}

// Kind implements config.Value.
func (m *mapping) Kind() string { return "mapping" }

// removal names objects to remove.
type removal struct{ all []pair } // list, id

// Take implements config.Value.
func (r *removal) Take(n *yaml.Node) (*yaml.Node, string) {
	const want = "a mapping of lists to ids, such as {enis: [web]}"
	if n.Kind != yaml.MappingNode {
		return n, want
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		ids := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			ids = value.Content
		}
		for _, id := range ids {
			if id.Kind != yaml.ScalarNode || id.Value == "" {
				return id, want
			}
			r.all = append(r.all, pair{key.Value, id.Value, id.Line, id.Column})
		}
	}
	return nil, ""
}

// Kind implements config.Value.
func (r *removal) Kind() string { return "mapping of lists to ids" }
