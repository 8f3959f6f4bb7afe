package text

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Error is a mistake in a packet's text.
type Error struct {
	Column int // in characters, from 1
	Msg    string
}

func (e *Error) Error() string { return fmt.Sprintf("at character %d: %s", e.Column, e.Msg) }

type token struct {
	text string
	at   int // offset in bytes
}

// lex splits text into words. Parentheses are words of their own.
func lex(s string) []token {
	var out []token
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '(' || c == ')':
			out = append(out, token{s[i : i+1], i})
			i++
		default:
			n := strings.IndexAny(s[i:], " \t\r\n()")
			if n < 0 {
				n = len(s) - i
			}
			out = append(out, token{s[i : i+n], i})
			i += n
		}
	}
	return out
}

// failure carries an Error out of the depths of the parser.
type failure struct{ *Error }

func (p *parser) failAt(offset int, format string, args ...any) {
	panic(failure{&Error{1 + utf8.RuneCountInString(p.text[:offset]), fmt.Sprintf(format, args...)}})
}

// fail complains of the word that was read last.
func (p *parser) fail(format string, args ...any) {
	at := len(p.text)
	if p.next > 0 && p.next <= len(p.tokens) {
		at = p.tokens[p.next-1].at
	}
	p.failAt(at, format, args...)
}

func (p *parser) peek() string { return p.peekAt(0) }

func (p *parser) peekAt(n int) string {
	if p.next+n < len(p.tokens) {
		return p.tokens[p.next+n].text
	}
	return ""
}

// word reads a word; what says what was expected.
func (p *parser) word(what string) string {
	if p.next >= len(p.tokens) {
		p.failAt(len(p.text), "the packet ends where %s should follow", what)
	}
	p.next++
	return p.tokens[p.next-1].text
}

// accept reads a word if it is the one given.
func (p *parser) accept(w string) bool {
	if p.peek() != w {
		return false
	}
	p.next++
	return true
}

func (p *parser) expect(w string) {
	if got := p.word(fmt.Sprintf("%q", w)); got != w {
		p.fail("%q should stand here, not %s", w, quoted(got))
	}
}

// quoted shows a word in a message.
func quoted(s string) string {
	const longest = 40
	if len(s) > longest {
		cut := longest
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "..."
	}
	return fmt.Sprintf("%q", s)
}
