package config

import "reflect"

// Section describes one kind of object of the schema, for generators.
type Section struct {
	Path   string // "host", "enis[].port"
	GoType string // the struct that holds it
	IsList bool
	Keys   []Key
}

// Key describes one key of a Section.
type Key struct {
	Name     string
	GoField  string
	Type     string // for people, in Markdown
	Default  string // as it would be written; "" for none
	Min, Max string
	Required bool
	Section  string // path of the section that the value is, or ""
}

// Describe returns the schema, in the order of the file and each object before
// those in it. The first section is the file itself.
func Describe() []Section { return DescribeOf(document{}) }

// DescribeOf is Describe for another file that Decode reads: doc is its struct.
func DescribeOf(doc any) []Section { return describe(nil, "", reflect.TypeOf(doc), false) }

func describe(sections []Section, path string, t reflect.Type, isList bool) []Section {
	at := len(sections)
	sections = append(sections, Section{Path: path, GoType: t.Name(), IsList: isList})
	var keys []Key
	for _, f := range fieldsOf(t) {
		k := Key{Name: f.key, GoField: f.goName, Default: f.defaults, Min: f.min, Max: f.max, Required: f.required}
		if f.codec != nil {
			k.Type = f.codec.name
			if f.isList {
				k.Type = "list of " + plural(k.Type)
			}
		} else {
			child := f.typ
			if child.Kind() == reflect.Pointer || f.isList {
				child = child.Elem()
			}
			k.Section = f.key
			if path != "" {
				k.Section = path + "." + f.key
			}
			k.Type = "mapping"
			if f.isList {
				k.Section += "[]"
				k.Type = "list"
			}
			sections = describe(sections, k.Section, child, f.isList)
		}
		keys = append(keys, k)
	}
	sections[at].Keys = keys
	return sections
}

func plural(noun string) string {
	if noun == "address" {
		return "addresses"
	}
	return noun + "s"
}
