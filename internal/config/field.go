package config

import (
	"reflect"
	"strings"
)

// A field is one key of the schema, as the tags of a struct's field say it:
//
//	yaml      the key
//	noun      what error messages call a nested object ("ENI")
//	as        the codec, where the Go type does not choose it (byName)
//	default   the value where the key is not given, as it would be written
//	min, max  inclusive bounds, written like the value
//	step      what the value must be a multiple of, written like the value
//	enum      the words allowed, separated by commas
//	required  "true": the key must be given, and a list must not be empty
type field struct {
	index      int
	goName     string
	key        string
	noun       string
	codec      *codec // of the value or, for a list, of its elements; nil for objects
	defaults   string
	min, max   string
	step       string
	enum       []string
	required   bool
	typ        reflect.Type
	isList     bool
	hasDefault bool
}

// fieldsOf returns the keys of struct type t in the order of declaration.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		sf := t.Field(i)
		key := sf.Tag.Get("yaml")
		if key == "" {
			continue
		}
		f := field{
			index: i, goName: sf.Name, key: key, typ: sf.Type,
			noun: sf.Tag.Get("noun"), min: sf.Tag.Get("min"), max: sf.Tag.Get("max"), step: sf.Tag.Get("step"),
			required: sf.Tag.Get("required") == "true",
		}
		f.defaults, f.hasDefault = sf.Tag.Lookup("default")
		if enum := sf.Tag.Get("enum"); enum != "" {
			f.enum = strings.Split(enum, ",")
		}
		elem := sf.Type
		if own, ok := reflect.New(elem).Interface().(Value); ok {
			f.codec = &codec{name: own.Kind(), own: true}
			fields = append(fields, f)
			continue
		}
		if elem.Kind() == reflect.Slice {
			f.isList, elem = true, elem.Elem()
		}
		f.codec = codecFor(elem, sf.Tag.Get("as"), f.enum)
		if f.noun == "" {
			f.noun = key
		}
		fields = append(fields, f)
	}
	return fields
}

// codecFor returns nil for the types that are objects.
func codecFor(t reflect.Type, as string, enum []string) *codec {
	if c := byName[as]; c != nil {
		return c
	}
	if t.Kind() == reflect.String && len(enum) > 0 {
		return &codec{
			name: "`" + strings.Join(enum, "`, `") + "`",
			want: alternatives(enum),
			parse: func(text string) (reflect.Value, bool) {
				for _, word := range enum {
					if text == word {
						return reflect.ValueOf(text).Convert(t), true
					}
				}
				return reflect.Value{}, false
			},
		}
	}
	return byType[t]
}

// alternatives writes "a", "a or b", "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last == 0 {
		return words[0]
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// bound returns what the range demands of a value and v fails, or "". Fields
// with bounds are of an integer kind, so that one comparison serves them all.
func (f *field) bound(v reflect.Value) string {
	number := func(tag string) int64 {
		limit, _ := f.codec.parse(tag)
		return limit.Int()
	}
	low := f.min != "" && v.Int() < number(f.min)
	high := f.max != "" && v.Int() > number(f.max)
	switch {
	case !low && !high:
		if f.step != "" && v.Int()%number(f.step) != 0 {
			return "a multiple of " + f.step
		}
		return ""
	case f.max == "":
		return "at least " + f.min
	case f.min == "":
		return "at most " + f.max
	}
	return "from " + f.min + " to " + f.max
}

// applyDefaults sets every field of the struct v that has a default, and those
// of the objects in it. The schema's own test parses each default, so that a
// bad one cannot ship.
func (d *decoder) applyDefaults(v reflect.Value) {
	for _, f := range d.fieldsOf(v.Type()) {
		target := v.Field(f.index)
		if f.hasDefault {
			value, ok := f.codec.parse(f.defaults)
			if !ok {
				panic("config: bad default of " + f.key)
			}
			target.Set(value)
		} else if target.Kind() == reflect.Struct && f.codec == nil {
			d.applyDefaults(target)
		}
	}
}
