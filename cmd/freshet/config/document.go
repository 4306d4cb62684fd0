package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document reads one YAML file into a configuration.
//
// It walks the nodes itself rather than decode into the struct: so every value
// goes through the same reader as in the other layers, every mistake is found
// in one pass, and each comes with its line.
type document struct {
	*loader
	name   string // of the file, for messages
	lookup func(string) (string, bool)
}

func (d *document) read(text []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return // an empty file sets nothing
	case err != nil:
		d.syntax(err)
		return
	}
	d.section("", root.Content[0], reflect.ValueOf(d.config).Elem())

	var second yaml.Node
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			d.syntax(err)
			return
		}
		d.at(&second, "", "a second document: a configuration is one")
	}
}

// syntax reports what the YAML parser refused, with the line out of its message.
func (d *document) syntax(err error) {
	where, text := d.name, strings.TrimPrefix(err.Error(), "yaml: ")
	if line, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(line, "line ") {
		where, text = d.name+":"+line[len("line "):], rest
	}
	d.problems = append(d.problems, Problem{Where: where, Text: "not YAML: " + text})
}

// at reports a mistake at node.
func (d *document) at(node *yaml.Node, path, text string) {
	d.problems = append(d.problems, Problem{Where: d.place(node), Key: path, Text: text})
}

func (d *document) place(node *yaml.Node) string {
	return d.name + ":" + strconv.Itoa(node.Line)
}

// section reads a mapping into the struct v.
func (d *document) section(path string, node *yaml.Node, v reflect.Value) {
	var known []string
	byName := map[string]reflect.Value{}
	for name, field := range fields(v) {
		known = append(known, name)
		byName[name] = field
	}
	d.mapping(path, node, func(name string, key, value *yaml.Node) {
		field, ok := byName[name]
		if !ok {
			d.at(key, join(path, name), unknownKey(name, known))
			return
		}
		d.origin[join(path, name)] = d.place(key)
		d.value(join(path, name), value, field)
	})
}

// mapping calls entry for each key of a mapping; a null one is empty.
func (d *document) mapping(path string, node *yaml.Node, entry func(name string, key, value *yaml.Node)) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		d.at(node, path, "must be a mapping, KEY: VALUE a line, not "+kind(node))
		return
	}
	seen := map[string]int{}
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.at(key, path, "a key must be a plain word, not "+kind(key))
			continue
		}
		if first, ok := seen[key.Value]; ok {
			d.at(key, join(path, key.Value), fmt.Sprintf("is set in line %d already", first))
			continue
		}
		seen[key.Value] = key.Line
		entry(key.Value, key, value)
	}
}

// value reads one value of any kind.
func (d *document) value(path string, node *yaml.Node, v reflect.Value) {
	if isNull(node) {
		return // "key:" with nothing after it leaves the default
	}
	switch target := v.Addr().Interface().(type) {
	case *[]Feed:
		d.feeds(path, node, target)
	case *[]string:
		d.strings(path, node, target)
	case *map[string]string:
		*target = map[string]string{}
		d.mapping(path, node, func(name string, key, value *yaml.Node) {
			d.origin[join(path, name)] = d.place(key)
			var text string
			d.value(join(path, name), value, reflect.ValueOf(&text).Elem())
			(*target)[name] = text
		})
	case *SelfSigned:
		if node.Kind == yaml.SequenceNode {
			target.On = true
			d.strings(path, node, &target.Names)
			return
		}
		d.scalar(path, node, v)
	default:
		if isSection(v.Type()) {
			d.section(path, node, v)
			return
		}
		d.scalar(path, node, v)
	}
}

func (d *document) feeds(path string, node *yaml.Node, target *[]Feed) {
	if node.Kind != yaml.SequenceNode {
		d.at(node, path, "must be a list, one \"- url: ...\" a feed, not "+kind(node))
		return
	}
	*target = nil
	for i, item := range node.Content {
		feed, itemPath := defaultFeed(), fmt.Sprintf("%s[%d]", path, i)
		d.origin[itemPath] = d.place(item)
		d.value(itemPath, item, reflect.ValueOf(&feed).Elem())
		*target = append(*target, feed)
	}
}

// strings reads a list, or one string that stands for a list of one.
func (d *document) strings(path string, node *yaml.Node, target *[]string) {
	items := []*yaml.Node{node}
	if node.Kind == yaml.SequenceNode {
		items = node.Content
	}
	*target = nil
	for i, item := range items {
		var text string
		itemPath := fmt.Sprintf("%s[%d]", path, i)
		d.origin[itemPath] = d.place(item)
		d.scalar(itemPath, item, reflect.ValueOf(&text).Elem())
		*target = append(*target, text)
	}
}

func (d *document) scalar(path string, node *yaml.Node, v reflect.Value) {
	if node.Kind != yaml.ScalarNode {
		d.at(node, path, "must be one value, not "+kind(node))
		return
	}
	text, err := expand(node.Value, d.lookup)
	if err == nil {
		err = setText(v, text)
	}
	if err != nil {
		d.at(node, path, err.Error())
	}
}

// kind names what stands where something else was wanted.
func kind(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias (*" + node.Value + "): aliases are not read here"
	}
	return fmt.Sprintf("%q", node.Value)
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.Tag == "!!null"
}

// reference is ${NAME}, ${NAME:-fallback}, or $$ for one dollar sign.
var reference = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|\$\{`)

// expand puts the values of environment variables into text. It works on one value
// after the YAML was read, so what a variable holds can never become YAML.
func expand(text string, lookup func(string) (string, bool)) (string, error) {
	var err error
	expanded := reference.ReplaceAllStringFunc(text, func(match string) string {
		if match == "$$" {
			return "$"
		}
		part := reference.FindStringSubmatch(match)
		name, fallback := part[1], part[3]
		if name == "" {
			err = fmt.Errorf("%q: write ${NAME} or ${NAME:-fallback}, and $$ for a dollar sign", text)
			return ""
		}
		value, ok := lookup(name)
		if !ok || value == "" && part[2] != "" {
			if part[2] == "" {
				err = fmt.Errorf("the environment variable %s is not set", name)
			}
			return fallback
		}
		return value
	})
	return expanded, err
}
