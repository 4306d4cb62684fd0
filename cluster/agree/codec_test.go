package agree

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// filled sets every field of a value, deep, to something that is not zero: a field that the codec forgets is noticed.
func filled(v reflect.Value, n *uint64) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			filled(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			filled(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(string(rune('a'+*n%26)) + "x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Uint8:
		v.SetUint(1 + *n%5)
	case reflect.Uint64:
		v.SetUint(*n << (*n % 50))
	case reflect.Int64:
		v.SetInt(int64(*n))
	}
}

func everyMessage() []Message {
	var all []Message
	n := uint64(0)
	for _, m := range messages {
		if m.code == nil {
			continue
		}
		v := reflect.New(m.what).Elem()
		all = append(all, v.Interface().(Message))
		filled(v, &n)
		all = append(all, v.Interface().(Message))
	}
	return all
}

func TestCodec(t *testing.T) {
	for _, m := range everyMessage() {
		b := AppendMessage(nil, m)
		got, err := ParseMessage(b)
		if err != nil {
			t.Errorf("%T: %v", m, err)
			continue
		}
		if d := cmp.Diff(m, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%T: %s", m, d)
		}
		for cut := range len(b) {
			if got, err := ParseMessage(b[:cut]); err == nil {
				t.Errorf("%T cut to %d of %d bytes reads as %+v", m, cut, len(b), got)
			}
		}
		if _, err := ParseMessage(append(b, 0)); err == nil {
			t.Errorf("%T with a byte too many is read", m)
		}
	}
}

func FuzzParseMessage(f *testing.F) {
	for _, m := range everyMessage() {
		f.Add(AppendMessage(nil, m))
	}
	f.Add([]byte{3, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ParseMessage(b)
		if err != nil {
			return
		}
		if again := AppendMessage(nil, m); !bytes.Equal(again, b) {
			t.Errorf("%x reads as %+v, which is %x", b, m, again)
		}
	})
}
