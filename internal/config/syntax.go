package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"sort"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/nitrod/nitrod/policy"
)

// root parses data and returns the one document's top node, or nil after an
// error.
func (d *decoder) root(data []byte) *yaml.Node {
	if offset, what := notText(data); what != "" {
		d.errorf(d.posAt(data, offset), "%s", what)
		return nil
	}
	doc, second, err := parseYAML(data)
	switch {
	case err != nil:
		d.syntaxError(data, err)
		return nil
	case empty(doc):
		d.errorf(policy.Pos{File: d.file}, "the file is empty")
		return nil
	case second != nil:
		d.errorf(d.pos(second), "a second document begins here; one file is one configuration")
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		d.errorf(d.pos(root), "the file must be a mapping of keys to values, not %s", shown(root))
		return nil
	}
	return root
}

// parseYAML returns the first document of data, which may be empty, and the
// second where there is one.
func parseYAML(data []byte) (doc, second *yaml.Node, err error) {
	stream := yaml.NewDecoder(bytes.NewReader(data))
	doc, second = new(yaml.Node), new(yaml.Node)
	switch err = stream.Decode(doc); {
	case errors.Is(err, io.EOF):
		return doc, nil, nil
	case err != nil:
		return nil, nil, err
	}
	switch err = stream.Decode(second); {
	case errors.Is(err, io.EOF):
		return doc, nil, nil
	case err != nil:
		return nil, nil, err
	}
	return doc, second, nil
}

func empty(doc *yaml.Node) bool {
	return len(doc.Content) == 0 || doc.Content[0].Kind == yaml.ScalarNode && doc.Content[0].ShortTag() == "!!null"
}

// notText finds what no YAML file may hold, since the library names no line
// for it.
func notText(data []byte) (offset int, what string) {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return i, "the file is not UTF-8 text"
		case r < ' ' && r != '\n' && r != '\r' && r != '\t', r == 0x7f:
			return i, "the file holds a control character"
		}
		i += size
	}
	return 0, ""
}

// The shapes of the YAML library's messages.
var (
	yamlMessage    = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)
	yamlFromParser = regexp.MustCompile(`^did not find expected (key|'-' indicator|',' or '[]}]'|node content|<.*>)$`)
	yamlNoAnchor   = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

// syntaxError reports the library's error with the line that a person should
// look at. The library counts lines of its parser's errors from 0 and those of
// its scanner's from 1, leaves the first line out, and for a block of wrong
// indentation names where the enclosing block began.
func (d *decoder) syntaxError(data []byte, err error) {
	match := yamlMessage.FindStringSubmatch(err.Error())
	if match == nil {
		d.errorf(policy.Pos{File: d.file}, "this is not valid YAML: %v", err)
		return
	}
	pos := policy.Pos{File: d.file}
	msg := match[2]
	pos.Line, _ = strconv.Atoi(match[1]) // 0 where there is none
	switch anchor := yamlNoAnchor.FindStringSubmatch(msg); {
	case anchor != nil:
		pos = d.posAt(data, max(0, bytes.Index(data, []byte("*"+anchor[1]))))
	case msg == "did not find expected key" || msg == "did not find expected '-' indicator":
		pos.Line = firstBadLine(data, msg)
		msg = "the indentation or the beginning of this line does not fit the lines above it"
	case yamlFromParser.MatchString(msg) || pos.Line == 0:
		// What is missing at the end is missing on the last line.
		pos.Line = min(pos.Line+1, d.posAt(data, max(0, len(data)-1)).Line)
	}
	if column := tabIndent(data, pos.Line); column > 0 {
		pos.Column = column
		msg = "indent with spaces, not with tabs"
	}
	d.errorf(pos, "this is not valid YAML: %s", msg)
}

// firstBadLine returns the number of the line that makes parsing fail with
// msg: the last line of the shortest beginning of the file that fails so.
func firstBadLine(data []byte, msg string) int {
	var ends []int
	for i, b := range data {
		if b == '\n' || i == len(data)-1 {
			ends = append(ends, i+1)
		}
	}
	return 1 + min(len(ends)-1, sort.Search(len(ends), func(i int) bool {
		_, _, err := parseYAML(data[:ends[i]])
		if err == nil {
			return false
		}
		match := yamlMessage.FindStringSubmatch(err.Error())
		return match != nil && match[2] == msg
	}))
}

// tabIndent returns the column of the first tab in the indentation of a line,
// or 0. The YAML library's own words for this common slip help nobody.
func tabIndent(data []byte, line int) int {
	for range line - 1 {
		_, data, _ = bytes.Cut(data, []byte("\n"))
	}
	spaces := len(data) - len(bytes.TrimLeft(data, " "))
	if spaces < len(data) && data[spaces] == '\t' {
		return spaces + 1
	}
	return 0
}

// posAt returns the position of a byte of the file.
func (d *decoder) posAt(data []byte, offset int) policy.Pos {
	before := data[:offset]
	return policy.Pos{
		File:   d.file,
		Line:   1 + bytes.Count(before, []byte("\n")),
		Column: 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]),
	}
}
