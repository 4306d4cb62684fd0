package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// key is one leaf of the configuration.
type key struct {
	path  string // "topics.events"
	value reflect.Value
}

// keys lists the leaves of c in the order of their fields. Setting a value sets it in c.
func keys(c *Config) []key {
	return appendKeys(nil, "", reflect.ValueOf(c).Elem())
}

func appendKeys(list []key, path string, v reflect.Value) []key {
	for name, field := range fields(v) {
		p := join(path, name)
		if isSection(field.Type()) {
			list = appendKeys(list, p, field)
		} else {
			list = append(list, key{p, field})
		}
	}
	return list
}

// fields yields the fields of the struct v under the names they have in a file.
func fields(v reflect.Value) func(yield func(string, reflect.Value) bool) {
	return func(yield func(string, reflect.Value) bool) {
		for i := range v.NumField() {
			if !yield(v.Type().Field(i).Tag.Get("key"), v.Field(i)) {
				return
			}
		}
	}
}

// isSection tells a struct with keys of its own from one that is a value.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[SelfSigned]()
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// Keys lists every key that a file may set, the feeds' own ones aside.
func Keys() []string {
	var names []string
	for _, k := range keys(Default()) {
		names = append(names, k.path)
	}
	return names
}

// Variable is the environment variable that sets key.
func Variable(key string) string {
	return "FRESHET_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// setText sets the value v from its text form, the same in every layer.
func setText(v reflect.Value, text string) error {
	switch target := v.Addr().Interface().(type) {
	case *time.Duration:
		return set(target, ParseDuration, text)
	case *Bytes:
		return set(target, ParseBytes, text)
	case *SelfSigned:
		return set(target, parseSelfSigned, text)
	case *[]string:
		return set(target, parseList, text)
	case *[]Feed:
		return set(target, parseFeeds, text)
	case *string:
		*target = text
		return nil
	case *bool:
		return set(target, parseSwitch, text)
	case *int:
		return set(target, parseCount, text)
	case *float64:
		return set(target, parseNumber, text)
	}
	return fmt.Errorf("cannot be set from %q", text)
}

func set[T any](target *T, parse func(string) (T, error), text string) error {
	value, err := parse(text)
	if err == nil {
		*target = value
	}
	return err
}

func parseSwitch(text string) (bool, error) {
	switch text {
	case "true", "on":
		return true, nil
	case "false", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func parseCount(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, strconv.IntSize-1)
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return int(n), nil
}

func parseNumber(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", text)
	}
	return n, nil
}
