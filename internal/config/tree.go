package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/nitrod/nitrod/policy"
)

// portKey is the key of what a configuration without devices may leave out.
const portKey = "port"

// Value is a value of a schema that reads itself from YAML: one that is neither
// a single word, nor a list, nor a mapping of known keys.
type Value interface {
	// Take reads the value at n. It returns the node that is at fault, and what
	// completes the sentence "KEY must be ..."; or nil.
	Take(n *yaml.Node) (bad *yaml.Node, want string)
	// Kind names the kind of value for the reference, in Markdown.
	Kind() string
}

// Decode reads a YAML file of another schema than the configuration's, by the
// same rules: doc points to a struct whose tags are those of this package's
// schema. The nodes that its Values keep belong to them.
//
// Errors: Errors, with every mistake found.
func Decode(name string, data []byte, doc any) error {
	d := newDecoder(name)
	root := d.read(data)
	if root == nil {
		return d.errs
	}
	d.document(root, doc)
	if len(d.errs) > 0 {
		return sorted(d.errs)
	}
	return nil
}

// Tree is the YAML of a configuration that runs between ports in memory. It can
// be changed, and decoded again.
//
// Thread-safety: none; Change and Remove leave the tree that they are called
// on as it is.
type Tree struct {
	file   string
	root   *yaml.Node
	origin map[*yaml.Node]string // where nodes come from that are not from file
}

// NewTree is a configuration below root, a node of the file of that name.
func NewTree(file string, root *yaml.Node) *Tree { return &Tree{file: file, root: root} }

// ReadTree reads the configuration file of which data is the content.
func ReadTree(name string, data []byte) (*Tree, error) {
	d := newDecoder(name)
	root := d.read(data)
	if root == nil {
		return nil, d.errs
	}
	return NewTree(name, root), nil
}

// Config decodes the tree. ENIs need no key port, and any CPU may be named, as
// neither is used.
//
// Errors: Errors, with every mistake found.
func (t *Tree) Config() (*Config, error) {
	d := newDecoder(t.file)
	d.origin, d.portless = t.origin, true
	cpus := make([]int, maxLcores)
	for i := range cpus {
		cpus[i] = i
	}
	return d.config(t.root, cpus)
}

// Change returns the tree with what is below patch, a mapping in the named
// file, laid over it: mappings are joined key by key, an object of a list takes
// the place of the keys that the one of the same id has, or is added, any other
// value is replaced, and a key without a value is removed.
//
// Errors: Errors, for a patch that has not the shape of a configuration. What
// else is wrong with it, Config says.
func (t *Tree) Change(file string, patch *yaml.Node) (*Tree, error) {
	if patch.Kind != yaml.MappingNode {
		return nil, Errors{{Pos: policy.Pos{File: file, Line: patch.Line, Column: patch.Column}, Msg: "a change must be a mapping of keys to values, not " + shown(patch)}}
	}
	origin := make(map[*yaml.Node]string, len(t.origin))
	for n, f := range t.origin {
		origin[n] = f
	}
	noteOrigin(origin, file, patch)
	out := &Tree{file: t.file, origin: origin}
	out.root = out.join(t.root, patch)
	return out, nil
}

// Remove returns the tree without the object of that id in the list under key.
// It reports whether there was one.
func (t *Tree) Remove(key, id string) (*Tree, bool) {
	at := keyAt(t.root, key)
	if at < 0 {
		return t, false
	}
	list := t.root.Content[at+1]
	i := slices.IndexFunc(list.Content, func(n *yaml.Node) bool { return nodeID(n) == id })
	if list.Kind != yaml.SequenceNode || i < 0 {
		return t, false
	}
	out := &Tree{file: t.file, origin: t.origin}
	shorter := out.copyOf(list)
	shorter.Content = slices.Delete(shorter.Content, i, i+1)
	out.root = out.copyOf(t.root)
	out.root.Content[at+1] = shorter
	return out, true
}

func noteOrigin(origin map[*yaml.Node]string, file string, n *yaml.Node) {
	origin[n] = file
	for _, child := range n.Content {
		noteOrigin(origin, file, child)
	}
}

// copyOf copies a node, but not those below it.
func (t *Tree) copyOf(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = slices.Clone(n.Content)
	if file, ok := t.origin[n]; ok {
		t.origin[&c] = file
	}
	return &c
}

// join lays over over the mapping under.
func (t *Tree) join(under, over *yaml.Node) *yaml.Node {
	out := t.copyOf(under)
	for i := 0; i+1 < len(over.Content); i += 2 {
		key, value := over.Content[i], over.Content[i+1]
		at := keyAt(out, key.Value)
		switch {
		case value.Kind == yaml.ScalarNode && value.ShortTag() == "!!null":
			if at >= 0 {
				out.Content = slices.Delete(out.Content, at, at+2)
			}
		case at < 0:
			out.Content = append(out.Content, key, value)
		case value.Kind == yaml.MappingNode && out.Content[at+1].Kind == yaml.MappingNode:
			out.Content[at+1] = t.join(out.Content[at+1], value)
		case len(value.Content) > 0 && objects(value) && objects(out.Content[at+1]):
			out.Content[at+1] = t.joinObjects(out.Content[at+1], value)
		default:
			out.Content[at+1] = value
		}
	}
	return out
}

// joinObjects lays a list of objects over another.
func (t *Tree) joinObjects(under, over *yaml.Node) *yaml.Node {
	out := t.copyOf(under)
	for _, object := range over.Content {
		i := slices.IndexFunc(out.Content, func(n *yaml.Node) bool { return nodeID(n) == nodeID(object) })
		if i < 0 {
			out.Content = append(out.Content, object)
		} else {
			out.Content[i] = t.join(out.Content[i], object)
		}
	}
	return out
}

// objects reports whether n is a list of which every item has an id.
func objects(n *yaml.Node) bool {
	return n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, func(n *yaml.Node) bool { return nodeID(n) == "" })
}

func nodeID(n *yaml.Node) string {
	if at := keyAt(n, "id"); at >= 0 {
		return n.Content[at+1].Value
	}
	return ""
}

// keyAt returns the index of a key among a mapping's nodes, or -1.
func keyAt(n *yaml.Node, key string) int {
	if n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}
