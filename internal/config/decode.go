package config

import (
	"reflect"
	"strconv"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/nitrod/nitrod/policy"
)

// maxRepeated bounds the values that aliases repeat. It is what keeps a small
// file from naming one value a million times.
const maxRepeated = 100_000

// decoder fills schema structs from YAML nodes. It goes on after an error, so
// that one run finds them all, and remembers where each value stands.
//
// Recursion follows the schema's types, which do not recurse, and never the
// file's nesting: an alias that contains itself ends where the schema does.
type decoder struct {
	file   string
	errs   Errors
	at     map[any]policy.Pos // where a value stands, by the address of its field
	bad    map[any]bool       // fields whose value was refused
	fields map[reflect.Type][]field
	values int // values that may still be decoded

	origin   map[*yaml.Node]string // files of the nodes that are not from file
	portless bool                  // the key port may be left out
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, at: map[any]policy.Pos{}, bad: map[any]bool{}, fields: map[reflect.Type][]field{}}
}

// document decodes the top node of a file. It reports whether the result is
// whole enough for further checks.
func (d *decoder) document(root *yaml.Node, doc any) bool {
	d.values = countNodes(root) + maxRepeated
	v := reflect.ValueOf(doc).Elem()
	d.applyDefaults(v)
	d.object(root, v, "", "")
	return d.values >= 0
}

// countNodes counts the nodes that the file spells out. The YAML library
// bounds the depth.
func countNodes(n *yaml.Node) int {
	count := 1
	for _, child := range n.Content {
		count += countNodes(child)
	}
	return count
}

// given reports whether the file has a value for the field at address p.
func (d *decoder) given(p any) bool {
	_, ok := d.at[p]
	return ok
}

// ok reports whether the fields at the addresses have usable values, given or
// by default. Checks across fields ask it first, so that one slip is one error.
func (d *decoder) ok(addresses ...any) bool {
	for _, p := range addresses {
		if d.bad[p] {
			return false
		}
	}
	return true
}

// fail reports a mistake at the value of the field at address p, or at
// otherwise where the file has no such value.
func (d *decoder) fail(p any, otherwise policy.Pos, format string, args ...any) {
	pos, ok := d.at[p]
	if !ok {
		pos = otherwise
	}
	d.errorf(pos, format, args...)
}

func (d *decoder) pos(n *yaml.Node) policy.Pos {
	file, ok := d.origin[n]
	if !ok {
		file = d.file
	}
	return policy.Pos{File: file, Line: n.Line, Column: n.Column}
}

func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, ok := d.fields[t]
	if !ok {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

// enter counts a value and records its place. It returns nil when aliases have
// repeated too many.
func (d *decoder) enter(n *yaml.Node, v reflect.Value) *yaml.Node {
	if d.values == 0 {
		d.errorf(d.pos(n), "the aliases in the file repeat more than %d values", maxRepeated)
	}
	d.values--
	if d.values < 0 {
		return nil
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.at[v.Addr().Interface()] = d.pos(n)
	return n
}

// reject reports that the value at n cannot serve as v.
func (d *decoder) reject(n *yaml.Node, v reflect.Value, subject, want string) {
	d.bad[v.Addr().Interface()] = true
	d.errorf(d.pos(n), "%s must be %s, not %s", subject, want, shown(n))
}

// value decodes n into v, a field of owner described by f.
func (d *decoder) value(n *yaml.Node, v reflect.Value, f *field, owner string) {
	if n = d.enter(n, v); n == nil {
		return
	}
	switch {
	case f.codec != nil && f.codec.own:
		d.own(n, v, f, owner)
	case f.isList:
		d.list(n, v, f, owner)
	case f.codec == nil:
		d.object(n, v, f.noun, owner)
	case n.Kind == yaml.SequenceNode && v.Type() == reflect.TypeFor[LcoreSpec]():
		// The one key that is a single value or a list.
		v.SetZero()
		cpus := v.FieldByName("CPUs")
		d.list(n, cpus, &field{key: f.key, isList: true, min: "0", required: true, typ: cpus.Type(), codec: byType[cpus.Type().Elem()]}, owner)
	default:
		d.scalar(n, v, f, owner)
	}
}

// own lets a value read itself.
func (d *decoder) own(n *yaml.Node, v reflect.Value, f *field, owner string) {
	if bad, want := v.Addr().Interface().(Value).Take(n); bad != nil {
		d.reject(bad, v, in(f.key, owner), want)
	}
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, f *field, owner string) {
	subject := in(f.key, owner)
	if n.Kind != yaml.ScalarNode {
		d.reject(n, v, subject, f.codec.want)
		return
	}
	switch tag := n.ShortTag(); {
	case tag == "!!null":
		d.bad[v.Addr().Interface()] = true
		d.errorf(d.pos(n), "%s has no value", subject)
		return
	case f.codec.tag != "" && tag != f.codec.tag, !plainTags[tag]:
		d.reject(n, v, subject, f.codec.want)
		return
	}
	value, ok := f.codec.parse(n.Value)
	if !ok {
		d.reject(n, v, subject, f.codec.want)
		return
	}
	if want := f.bound(value); want != "" {
		d.reject(n, v, subject, want)
		return
	}
	v.Set(value)
}

// plainTags are the YAML types that text without a tag can have. Text is taken
// as it is written: `id: 010` is the id 010.
var plainTags = map[string]bool{"!!str": true, "!!int": true, "!!float": true, "!!bool": true, "!!timestamp": true}

// list decodes n into the slice v. A key with nothing under it is an empty list.
func (d *decoder) list(n *yaml.Node, v reflect.Value, f *field, owner string) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		n = &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line, Column: n.Column}
	}
	if n.Kind != yaml.SequenceNode || n.ShortTag() != "!!seq" {
		d.reject(n, v, in(f.key, owner), "a list")
		return
	}
	if f.required && len(n.Content) == 0 {
		d.bad[v.Addr().Interface()] = true
		d.errorf(d.pos(n), "%s is empty", in(f.key, owner))
		return
	}
	v.Set(reflect.MakeSlice(f.typ, len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		target := v.Index(i)
		if item = d.enter(item, target); item == nil {
			return
		}
		if f.codec == nil {
			d.applyDefaults(target)
			d.object(item, target, f.noun, owner)
		} else {
			d.scalar(item, target, f, owner)
		}
		if d.bad[target.Addr().Interface()] {
			d.bad[v.Addr().Interface()] = true
		}
	}
}

// object decodes a mapping into the struct, or the nil pointer to a struct, v.
// The struct's defaults have been applied.
func (d *decoder) object(n *yaml.Node, v reflect.Value, noun, owner string) {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
		d.applyDefaults(v)
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		n = &yaml.Node{Kind: yaml.MappingNode, Line: n.Line, Column: n.Column}
	}
	me := name(n, noun, owner)
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(d.pos(n)))
	}
	if n.Kind != yaml.MappingNode || n.ShortTag() != "!!map" {
		d.reject(n, v, me, "a mapping of keys to values")
		return
	}
	fields := d.fieldsOf(v.Type())
	keys := keys{fields: fields, lines: map[string]int{}, meant: map[string]bool{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		f := d.key(key, keys, me)
		if f != nil {
			d.value(n.Content[i+1], v.Field(f.index), f, me)
		}
	}
	for i := range fields {
		f := &fields[i]
		if _, ok := keys.lines[f.key]; ok || !f.required || d.portless && f.key == portKey {
			continue
		}
		d.bad[v.Field(f.index).Addr().Interface()] = true
		if !keys.meant[f.key] {
			d.errorf(d.pos(n), "%s lacks the key %q", where(me), f.key)
		}
	}
}

// keys is what is known of one mapping's keys.
type keys struct {
	fields []field
	lines  map[string]int  // where each key was seen first
	meant  map[string]bool // keys that an unknown one was probably meant to be
}

// key finds the field that a mapping's key names, or says why there is none.
func (d *decoder) key(key *yaml.Node, keys keys, me string) *field {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode {
		d.errorf(d.pos(key), "a key in %s must be a word, not %s", where(me), shown(key))
		return nil
	}
	if key.ShortTag() == "!!merge" {
		d.errorf(d.pos(key), "merge keys (<<) are not supported; repeat the keys in %s, or use an alias for a whole value", where(me))
		return nil
	}
	if line, again := keys.lines[key.Value]; again {
		d.errorf(d.pos(key), "key %q is given twice in %s; the first is on line %d", short(key.Value), where(me), line)
		return nil
	}
	keys.lines[key.Value] = key.Line
	known := make([]string, len(keys.fields))
	for i := range keys.fields {
		if keys.fields[i].key == key.Value {
			return &keys.fields[i]
		}
		known[i] = keys.fields[i].key
	}
	if near := nearest(key.Value, known); near != "" {
		keys.meant[near] = true
		d.errorf(d.pos(key), "unknown key %q in %s; did you mean %q?", short(key.Value), where(me), near)
	} else {
		d.errorf(d.pos(key), "unknown key %q in %s; known are %s", short(key.Value), where(me), alternatives(known))
	}
	return nil
}

// name says which object n is: `ENI "web"`, or `port of ENI "web"` for one
// without an id of its own.
func name(n *yaml.Node, noun, owner string) string {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k, v := n.Content[i], n.Content[i+1]; k.Value == "id" && v.Kind == yaml.ScalarNode && v.Value != "" {
				return noun + " " + strconv.Quote(short(v.Value))
			}
		}
	}
	if owner == "" {
		return noun
	}
	return noun + " of " + owner
}

// in names a key for the start of a sentence.
func in(key, owner string) string {
	if owner == "" {
		return key
	}
	return key + " in " + owner
}

// where names an object, the file itself having no name.
func where(me string) string {
	if me == "" {
		return "the file"
	}
	return me
}

// shown is how an error message quotes a value.
func shown(n *yaml.Node) string {
	switch tag := n.ShortTag(); tag {
	case "!!seq":
		return "a list"
	case "!!map":
		return "a mapping"
	case "!!null":
		return "an empty value"
	case "!!int", "!!float", "!!bool":
		return short(n.Value)
	case "!!str", "!!timestamp", "!!merge":
		return strconv.Quote(short(n.Value))
	default:
		return "a value tagged " + short(tag)
	}
}

// short cuts text from a file to a length that suits a message.
func short(s string) string {
	const longest = 64
	if len(s) <= longest {
		return s
	}
	cut := longest
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
