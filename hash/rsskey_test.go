package hash

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const fixedText = "be:ac:01:fa:6a:42:b7:3b:80:30:f2:0c:77:cb:2d:a3:ae:7b:30:b4:" +
	"d0:ca:2b:cb:43:a3:8f:b0:41:67:25:3d:25:5b:0e:c2:6d:5a:56:da"

func TestENAFixedKey(t *testing.T) {
	if got := ENAFixedKey().String(); got != fixedText {
		t.Errorf("got %s\nwant %s", got, fixedText)
	}
}

func TestParseKey(t *testing.T) {
	for _, s := range []string{
		"",
		fixedText[:len(fixedText)-1],
		fixedText + ":",
		fixedText + ":00",
		strings.ReplaceAll(fixedText, ":", "-"),
		strings.Replace(fixedText, "be", "bg", 1),
		strings.Replace(fixedText, "be", " e", 1),
		strings.ReplaceAll(fixedText, ":", ""),
	} {
		if k, err := ParseKey(s); !errors.Is(err, ErrKey) || k != (Key{}) {
			t.Errorf("ParseKey(%q) = %v, %v", s, k, err)
		}
	}
	if k, err := ParseKey(strings.ToUpper(fixedText)); err != nil || k != ENAFixedKey() {
		t.Errorf("upper case: %v, %v", k, err)
	}
}

func TestKeyRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := genRSSKey().Draw(t, "key")
		if got, err := ParseKey(k.String()); err != nil || got != k {
			t.Fatalf("%v came back as %v, %v", k, got, err)
		}
	})
}

func TestRandomKeysDiffer(t *testing.T) {
	if RandomKey() == RandomKey() || RandomSeed() == RandomSeed() {
		t.Error("twice the same")
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(fixedText)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err == nil && k.String() != strings.ToLower(s) {
			t.Errorf("%q was read as %v", s, k)
		}
	})
}
